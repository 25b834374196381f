#!/usr/bin/env bash
# The time-lapse network on drawn rain: frames of static scenes, no clean target.
#
#   bash examples/recipes/timelapse.sh PHOTOS OUT [OPTION OF rainkit train...]
#
# PHOTOS are clean photographs that rain is drawn on; the training never sees them without it. Scenes
# of real rain in OUT/scenes, which `rainkit data frames` cuts from videos, serve as well.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash $0 PHOTOS OUT [OPTION...]" >&2; exit 2; }
photos=$1 out=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)

# What a pixel is in most frames is what the network learns: streaks must be sparse. In dense rain the
# median of the frames is hardly better than one of them.
[ -e "$out/scenes/manifest.jsonl" ] ||
  rainkit synth "$photos" -o "$out/scenes" --sequence 5 --preset rain100l --seed 1 \
    --variants 3 --rate 6 --rate 15 --rate 30 --rain wind_sd_m_s=3 --rain exposure_spread=2

if [ -e "$out/run/run.json" ]; then
  rainkit train --resume "$out/run"
else
  rainkit train --config "$here/timelapse.toml" --scenes "$out/scenes" -o "$out/run" "$@"
fi
