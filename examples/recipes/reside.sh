#!/usr/bin/env bash
# GRASPP-GAN on RESIDE's fog, as the paper's section on dehazing: 5,000 pairs, weights, scores.
#
#   bash examples/recipes/reside.sh TRAIN TEST OUT [OPTION OF rainkit train...]
#
# TRAIN is ITS or OTS with the folders hazy/ and clear/; TEST is SOTS with its folders indoor/ and
# outdoor/, each of which holds hazy/ and gt/, or one of these two. The clear pictures of SOTS's indoor
# part are larger than the hazy ones, which were cut out of their middle.
#
# The paper's: 5,000 pairs, the network and the losses. Ours: which pairs (seed 0), that scenes of TEST
# are left out, and the schedule of dehazing.toml. COUNT, 5000, is the number of pairs.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: [COUNT=N] [STEPS=N] bash $0 TRAIN TEST OUT [OPTION...]" >&2; exit 2; }
train=$1 test=$2 out=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
steps=${STEPS:-7500}

[ -e "$out/train/mix.json" ] ||
  rainkit data merge "$train:${COUNT:-5000}" --against "$test" --seed 0 -o "$out/train"

if [ -e "$out/run/run.json" ]; then
  rainkit train --resume "$out/run"
else
  rainkit train --config "$here/dehazing.toml" --pairs "$out/train" -o "$out/run" \
    --set training.steps="$steps" --set training.epoch_steps=$(((steps + 6) / 7)) "$@"
fi
rainkit eval "$test" --method "graspp-gan=$out/run/last.safetensors" --crop-to-common \
  -o "$out/scores" --overwrite --fail-below psnr_gain=0
