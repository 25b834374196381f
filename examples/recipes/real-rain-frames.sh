#!/usr/bin/env bash
# Trains the time-lapse network on from its weights, on two rains on each photograph.
#
#   bash examples/recipes/real-rain-frames.sh PHOTOS STREAKS PAIRS WEIGHTS OUT [OPTION OF rainkit train...]
#
# PHOTOS are clean photographs, and STREAKS pictures of streaks on black. PAIRS is validated on and
# shares no scene with them. WEIGHTS is the safetensors file to start from, or - to start from
# nothing. A run that was stopped is resumed.
#
# Each sample is a crop with two rains, as a camera on a tripod sees them; the network never sees it
# without. What it learns is the median over all rains, which is the scene as long as most of them
# leave most pixels free. A third of the rain is therefore dense, as in the gusts of a shower, and
# the rest is not: the network learns to remove dense rain from dense frames although the median of
# dense frames alone is hardly better than one of them.
set -euo pipefail
[ $# -ge 5 ] || { echo "usage: bash $0 PHOTOS STREAKS PAIRS WEIGHTS OUT [OPTION...]" >&2; exit 2; }
photos=$1 streaks=$2 pairs=$3 weights=$4 out=$5
shift 5
here=$(cd "$(dirname "$0")" && pwd)

start=(--init "$weights")
[ "$weights" != - ] || start=()
if [ -e "$out/run.json" ]; then
  rainkit train --resume "$out"
else
  rainkit train --config "$here/timelapse.toml" "${start[@]}" -o "$out" \
    --clean "$photos" --set data.streaks="$streaks" --set data.streak_share=0.2 \
    --validate "$pairs" --max-steps 6000 --set run.save_every=500 \
    --set training.batch=8 --set training.patch=96 --set training.epoch_steps=2000 \
    --set training.lr=8e-4 --set training.ema=0.999 --set training.augment=flips \
    --set data.enlarge=0.3 --set data.unreadable=skip \
    --set data.rain.dense=0.5 --set data.rain.dashes=0.2 --set data.rain.near=0.1 --set data.rain.flecks=0 \
    --set data.rain.faint=0.3 --set data.rain.beaded=0.1 --set data.rain.layered=0.05 \
    --set data.rain.lines=0 --set data.rain.bright=0 --set data.rain.defocused=0.15 \
    --set data.rain.darkened=0 --set data.rain.dimmed=0 \
    --set data.scene_lines=0.15 --set data.sensor_noise=0.2 "$@"
fi
