#!/bin/sh
# The test sets of GRASPP-GAN that have to be made: Rain-I and Rain-III.
#
#   sh examples/recipes/graspp-gan-tests.sh DDN RESCAN DID PHOTOS OUTPUT
#
# Rain-I is 100 pictures of each of the test sets DDN, RESCAN and DID, as they were published: folders
# rainy_image and ground_truth, or pictures side by side. Rain-II is the test set of Rain100H, as it
# is. Rain-III is 400 pictures with wide streaks of blurred edges, drawn on PHOTOS, which are clean.
#
# The paper's: the sets and the numbers. Ours: which pictures (seed 0), and the whole of Rain-III,
# whose source the paper does not state; see graspp-gan-wide.toml. COUNT, 100, is the number of
# pictures from each set, and Rain-III has four times as many. VARIANTS, 1, is the number of rains of
# each photograph: 4 for 100 photographs.
set -eu
[ $# -eq 5 ] || {
  echo "usage: [COUNT=N] [VARIANTS=N] sh $0 DDN RESCAN DID PHOTOS OUTPUT" >&2; exit 2; }
count=${COUNT:-100}
here=$(cd "$(dirname "$0")" && pwd)
rainkit data merge "$1:$count" "$2:$count" "$3:$count" --seed 0 -o "$5/rain-i"
rainkit synth "$4" -o "$5/wide" --config "$here/graspp-gan-wide.toml" --variants "${VARIANTS:-1}"
rainkit data merge "$5/wide:$((4 * count))" --seed 0 -o "$5/rain-iii"
