#!/usr/bin/env bash
# Methods trained on from their shipped weights, on tone-matched pairs and rain on the fly.
#
#   bash examples/recipes/real-rain-1.sh PHOTOS RAIN PAIRS WEIGHTS OUT [OPTION OF rainkit train...]
#   METHOD=granet bash examples/recipes/real-rain-1.sh ...
#
# PHOTOS are clean photographs. RAIN holds the training pairs of Rain800, side by side as published.
# PAIRS is validated on and shares no scene with either. WEIGHTS is the safetensors file to start
# from, or - to start from nothing. METHOD is graspp-gan (the default), resguidenet, granet, prenet
# or freq-gan, which is trained in the paper's recurrence, whatever that of the weights is. A run
# that was stopped is resumed.
#
# 35 % of the samples (PAIRS_PERCENT, from 1 to 99) are pairs whose clean side gets the tone of the
# rainy one; 65 % are photographs with rain on the fly, without dimming and without darkening tone
# curves. 30 % of both are enlarged.
# There is no critic.
set -euo pipefail
[ $# -ge 5 ] || {
  echo "usage: bash $0 PHOTOS RAIN PAIRS WEIGHTS OUT [OPTION...]" >&2; exit 2; }
photos=$1 rain=$2 pairs=$3 weights=$4 out=$5 method=${METHOD:-graspp-gan}
percent=${PAIRS_PERCENT:-35}
shift 5
here=$(cd "$(dirname "$0")" && pwd)

steps=20000 batch=8
own=() start=(--init "$weights")
[ "$weights" != - ] || start=()
case $method in
  graspp-gan) own=(--set objective.alone_epochs=1000) ;;
  granet) steps=10000 batch=4 ;;
  freq-gan) steps=6000 batch=4 own=(--variant default --set objective.adversarial=0) ;;
  prenet) steps=6000 batch=4 ;;
  resguidenet) ;;
  *) echo "$0: METHOD is graspp-gan, resguidenet, granet, freq-gan or prenet, not $method" >&2; exit 2 ;;
esac

if [ -e "$out/run.json" ]; then
  rainkit train --resume "$out"
else
  rainkit train --config "$here/$method.toml" "${start[@]}" -o "$out" \
    --clean "$photos@$(printf '0.%02d' $((100 - percent)))" \
    --pairs "$rain@$(printf '0.%02d' "$percent")" \
    --set data.layout=side-by-side --set data.rainy_side=right \
    --validate "$pairs" --max-steps $steps --set run.save_every=500 \
    --set training.batch=$batch --set training.patch=96 --set training.epoch_steps=1000 \
    --set training.lr=8e-4 --set training.schedule=cosine --set training.warmup_steps=200 \
    --set training.clip_norm=1.0 --set training.ema=0.999 --set training.augment=flips \
    --set data.match_tone=true --set data.enlarge=0.3 --set data.unreadable=skip \
    --set data.rain.darkened=0 --set data.rain.dimmed=0 "${own[@]}" "$@"
fi
