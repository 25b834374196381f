#!/usr/bin/env bash
# Trains methods on from their weights, on rain as photographs have it and on much dense rain.
#
#   bash examples/recipes/real-rain-3.sh PHOTOS STREAKS RAIN PAIRS WEIGHTS OUT [OPTION OF rainkit train...]
#   METHOD=granet bash examples/recipes/real-rain-3.sh ...
#
# Arguments, and METHOD, are those of real-rain-2.sh. A run that was stopped is resumed.
#
# What real-rain-2.sh trains leaves the light of dense rain where streaks cover nearly everything: the
# picture comes back too bright. So fewer samples are pairs whose tone was matched (a matched clean
# side keeps some of that light), streaks are stronger, more rain is dense, and a part of it consists
# of lines that cross each other.
set -euo pipefail
[ $# -ge 6 ] || {
  echo "usage: bash $0 PHOTOS STREAKS RAIN PAIRS WEIGHTS OUT [OPTION...]" >&2; exit 2; }
photos=$1 streaks=$2 rain=$3 pairs=$4 weights=$5 out=$6
shift 6
here=$(cd "$(dirname "$0")" && pwd)
export PAIRS_PERCENT=${PAIRS_PERCENT:-15}
exec bash "$here/real-rain-2.sh" "$photos" "$streaks" "$rain" "$pairs" "$weights" "$out" \
  --set data.rain.dense=0.7 --set data.rain.lines=0.3 \
  --set data.rain.gain_low=0.7 --set data.rain.gain_high=2.0 \
  --set training.lr=5e-4 --set training.warmup_steps=100 "$@"
