#!/bin/sh
# The 8,000 training pairs of GRASPP-GAN: 4,000 from each of two sets of rainy pictures.
#
#   sh examples/recipes/graspp-gan-data.sh FIRST SECOND TESTED OUTPUT
#
# FIRST and SECOND are datasets of pairs in any layout, TESTED is one that scores are to be taken on.
# The paper's: two sources, 4,000 pairs of each. Ours: which pairs (seed 0), and that scenes of
# TESTED are left out of both.
set -eu
[ $# -eq 4 ] || { echo "usage: sh $0 FIRST SECOND TESTED OUTPUT" >&2; exit 2; }
rainkit data merge "$1:4000" "$2:4000" --seed 0 --against "$3" -o "$4"
rainkit data audit "$4" "$3" # fails if a scene is in both
