#!/usr/bin/env bash
# What many frames give without a network, and a network with one frame (the paper's Fig. 13 and 14).
#
#   bash examples/recipes/timelapse-averages.sh PHOTOS OUT [OPTION OF rainkit train...]
#
# PHOTOS are clean photographs; on each of them falls a rain of 25 frames. Scored are means and medians
# of 1 to 25 of them, ResGuideNet trained on single frames with the mean of all others for a target
# (the paper's supervised twin), and the time-lapse network trained on the same frames. Neither sees a
# clean picture. TEST_SCENES of the photographs are never trained on.
set -euo pipefail
[ $# -ge 2 ] || {
  echo "usage: [TEST_SCENES=N] [STEPS=N] bash $0 PHOTOS OUT [OPTION...]" >&2; exit 2; }
photos=$1 out=$2
shift 2
steps=${STEPS:-5000}

[ -e "$out/scenes/manifest.jsonl" ] ||
  rainkit synth "$photos" -o "$out/scenes" --sequence 25 --preset rain100l --seed 1 \
    --test-scenes "${TEST_SCENES:-10}"

for by in mean median; do
  for frames in 1 2 5 10 25; do
    rainkit data average "$out/scenes/test" -o "$out/$by-$frames" --by $by --frames $frames \
      --overwrite --quiet
    rainkit score "$out/$by-$frames/average" "$out/$by-$frames/clean" \
      -o "$out/scores/$by-$frames" --overwrite
  done
done

test=$out/mean-1 # each scene's first frame in rainy/, the scene without rain in clean/
trained() { # method and run folder; a run that was stopped goes on
  if [ -e "$2/run.json" ]; then
    rainkit train --resume "$2"
  else
    rainkit train --method "$1" --scenes "$out/scenes" -o "$2" --seed 1 \
      --set training.steps="$steps" "${@:3}"
  fi
}
trained resguidenet "$out/run-mean" "$@"
trained timelapse "$out/run-frames" "$@"
rainkit eval "$test" --method "resguidenet=$out/run-mean/last.safetensors" \
  -o "$out/scores/learnt-from-means" --overwrite
rainkit eval "$test" --method "timelapse=$out/run-frames/last.safetensors" \
  -o "$out/scores/learnt-from-frames" --overwrite
