#!/usr/bin/env bash
# FreqGAN on rain and fog that follow the depth of the scene: pairs, weights, scores.
#
#   bash examples/recipes/freq-gan-depth.sh PHOTOS OUT [OPTION OF rainkit train...]
#
# The paper's site set: 400 backgrounds x 12 rains, 4,500 pairs to train on and 300 to test on. PHOTOS
# are clean photographs, with depth maps beside them if there are any. TEST_SCENES, 25 of 400, are
# never trained on; set it lower for fewer photographs.
set -euo pipefail
[ $# -ge 2 ] || {
  echo "usage: [TEST_SCENES=N] [STEPS=N] bash $0 PHOTOS OUT [OPTION...]" >&2; exit 2; }
photos=$1 out=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
steps=${STEPS:-7500}

[ -e "$out/pairs/manifest.jsonl" ] ||
  rainkit synth "$photos" -o "$out/pairs" --config "$here/depth-aware-4800.toml" \
    --test-scenes "${TEST_SCENES:-25}"

if [ -e "$out/run/run.json" ]; then
  rainkit train --resume "$out/run"
else
  rainkit train --method freq-gan --pairs "$out/pairs" -o "$out/run" --seed 1 \
    --set training.steps="$steps" --set training.epoch_steps=$(((steps + 5) / 6)) \
    --set training.batch=4 --set training.clip_norm=1.0 --set objective.alone_epochs=5 "$@"
fi
rainkit eval "$out/pairs" --method "freq-gan=$out/run/last.safetensors" \
  -o "$out/scores" --overwrite --fail-below psnr_gain=0
