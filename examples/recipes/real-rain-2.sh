#!/usr/bin/env bash
# Trains methods on from their weights, on tone-matched pairs and on rain as photographs have it.
#
#   bash examples/recipes/real-rain-2.sh PHOTOS STREAKS RAIN PAIRS WEIGHTS OUT [OPTION OF rainkit train...]
#   METHOD=granet bash examples/recipes/real-rain-2.sh ...
#
# PHOTOS are clean photographs, and STREAKS pictures of streaks on black. RAIN holds the training
# pairs of Rain800, side by side as published. PAIRS is validated on and shares no scene with either.
# WEIGHTS is the safetensors file to start from, or - to start from nothing. METHOD is graspp-gan
# (the default), resguidenet, granet, freq-gan or prenet. A run that was stopped is resumed.
#
# As real-rain-1.sh, and besides: rain is drawn in all kinds that rain_realism.py finds in photographs
# (dashes, near and blurred streaks, beads, layers, faint rain), a part of it from STREAKS; lines of
# the scene and noise of the sensor stay; and dry pixels count more.
set -euo pipefail
[ $# -ge 6 ] || {
  echo "usage: bash $0 PHOTOS STREAKS RAIN PAIRS WEIGHTS OUT [OPTION...]" >&2; exit 2; }
photos=$1 streaks=$2 rain=$3 pairs=$4 weights=$5 out=$6
shift 6
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/real-rain-1.sh" "$photos" "$rain" "$pairs" "$weights" "$out" \
  --set data.streaks="$streaks" --set data.streak_share=0.25 \
  --set data.rain.dashes=0.2 --set data.rain.near=0.1 --set data.rain.beaded=0.1 \
  --set data.rain.layered=0.1 --set data.rain.defocused=0.15 --set data.rain.faint=0.35 \
  --set data.scene_lines=0.15 --set data.sensor_noise=0.2 --set training.dry_weight=0.1 "$@"
