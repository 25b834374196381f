#!/usr/bin/env bash
# GRASPP-GAN on fog: pairs, weights, scores.
#
#   bash examples/recipes/dehazing.sh PHOTOS TEST OUT [OPTION OF rainkit train...]
#
# PHOTOS are clean photographs to train on, TEST others to score on, both with depth maps beside them
# if there are any.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: [STEPS=N] bash $0 PHOTOS TEST OUT [OPTION...]" >&2; exit 2; }
photos=$1 test=$2 out=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
steps=${STEPS:-7500}

# A folder with a manifest is finished, and would be an error.
[ -e "$out/train/manifest.jsonl" ] ||
  rainkit synth "$photos" -o "$out/train" --config "$here/dehazing-fog.toml"
[ -e "$out/test/manifest.jsonl" ] ||
  rainkit synth "$test" -o "$out/test" --config "$here/dehazing-fog.toml" --seed 1
rainkit data audit "$out/train" "$out/test" # fails if a scene is in both

if [ -e "$out/run/run.json" ]; then
  rainkit train --resume "$out/run"
else
  rainkit train --config "$here/dehazing.toml" --pairs "$out/train" -o "$out/run" \
    --set training.steps="$steps" --set training.epoch_steps=$(((steps + 6) / 7)) "$@"
fi
rainkit eval "$out/test" --method "graspp-gan=$out/run/last.safetensors" \
  -o "$out/scores" --overwrite --fail-below psnr_gain=0
