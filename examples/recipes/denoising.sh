#!/usr/bin/env bash
# ResGuideNet on Gaussian noise: one network for each strength, and its scores.
#
#   bash examples/recipes/denoising.sh PHOTOS TEST OUT [OPTION OF rainkit train...]
#
set -euo pipefail
[ $# -ge 3 ] || {
  echo "usage: [SIGMAS='10 30 70'] [STEPS=N] bash $0 PHOTOS TEST OUT [OPTION...]" >&2; exit 2; }
photos=$1 test=$2 out=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)

rainkit data audit --photos "$photos" "$test" # fails if a scene is in both
for sigma in ${SIGMAS:-10 30 70}; do
  to=$out/sigma-$sigma
  [ -e "$to/test/manifest.jsonl" ] || rainkit synth "$test" -o "$to/test" --noise "$sigma"
  if [ -e "$to/run/run.json" ]; then
    rainkit train --resume "$to/run"
  else
    rainkit train --config "$here/denoising.toml" --clean "$photos" -o "$to/run" \
      --set data.noise.sigma_low="$sigma" --set data.noise.sigma_high="$sigma" \
      --set training.steps="${STEPS:-4500}" "$@"
  fi
  rainkit eval "$to/test" --method "resguidenet=$to/run/last.safetensors" \
    -o "$to/scores" --overwrite --fail-below psnr_gain=0
done
