#!/bin/sh
# The 8,000 training pairs of GRASPP-GAN: 4,000 from each of two sets of rainy pictures.
#
#   sh examples/recipes/graspp-gan-data.sh FIRST SECOND TESTED OUTPUT
#
# FIRST and SECOND are datasets of pairs in any layout, TESTED is one that scores are to be taken on.
# The paper's: 4,000 of the 20,800 samples of its reference 28, and 4,000 of DID-MDN's 12,000. Ours:
# which pairs (seed 0), and that scenes of TESTED are left out of both. COUNT, 4000, is the number of
# pairs from each.
set -eu
[ $# -eq 4 ] || { echo "usage: [COUNT=N] sh $0 FIRST SECOND TESTED OUTPUT" >&2; exit 2; }
count=${COUNT:-4000}
rainkit data merge "$1:$count" "$2:$count" --seed 0 --against "$3" -o "$4"
rainkit data audit "$4" "$3" # fails if a scene is in both
