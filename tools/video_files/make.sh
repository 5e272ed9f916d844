#!/usr/bin/env bash
# Makes the test files of src/pipelines/videos, and what ffmpeg decodes of them.
#
#     apt-get install ffmpeg && tools/video_files/make.sh
#
# Frame n of a clip shows n in bits: eight bars, each of which is white for 1 and dark for 0, before a coloured ramp that
# moves. `sums.txt` has a line for each frame that ffmpeg decodes: file, number, time in seconds, width, height, and the mean
# of red, green and blue in each quarter of the picture. Made with ffmpeg 5.1.9 and x264 0.164.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$(dirname "$0")/../../src/pipelines/videos/tests/data"
rm -rf -- *
ff() { ffmpeg -nostdin -v error -y -bitexact "$@" -map_metadata -1 -fflags +bitexact -flags:v +bitexact; }

# make_source WIDTH HEIGHT RATE FRAMES
source_of() {
    local bar="floor(X*8/W)" lit
    lit="if(lt(Y,H/2),255*mod(floor(N/pow(2,7-$bar)),2)"
    echo "color=black:s=$1x$2:r=$3:d=$(awk "BEGIN{print $4/$3}"),format=gbrp,geq=r='$lit,mod(X*4+N*9,256))':g='$lit,Y*255/H)':b='$lit,mod(255-X*3+N*5,256))'"
}
x264="-c:v libx264 -preset veryslow -crf 30 -pix_fmt yuv420p -x264-params sei=0:info=0"

src="$(source_of 64 48 25 24)"
# Index first, no reordered frames, key frames every 8.
ff -f lavfi -i "$src" $x264 -profile:v baseline -g 8 -movflags +faststart first.mp4
# Index last, pyramids of reordered frames, key frames every 10.
ff -f lavfi -i "$src" $x264 -bf 5 -g 10 -b-pyramid normal -refs 4 last.mp4 2>/dev/null \
    || ff -f lavfi -i "$src" $x264 -bf 5 -g 10 -refs 4 last.mp4
# Fragments, BT.709 of full range, a width that is no multiple of 16.
ff -f lavfi -i "$(source_of 50 38 10 12)" -vf scale=out_color_matrix=bt709:out_range=full $x264 -bf 2 -g 6 \
    -colorspace bt709 -color_range pc -movflags +frag_keyframe+empty_moov fragments.mp4
# QuickTime, the rate varies, cut so that an edit begins between key frames.
ff -f lavfi -i "$(source_of 48 32 20 30)" -vf "select='not(mod(n,3))+gt(n,15)'" -fps_mode passthrough \
    -video_track_timescale 600 $x264 -bf 2 -g 30 whole.mov
ff -ss 0.4 -i whole.mov -c copy cut.mov
rm whole.mov
# Turned by a quarter, as telephones write.
ff -f lavfi -i "$(source_of 48 32 10 4)" $x264 flat.mp4
ff -display_rotation 90 -i flat.mp4 -c copy turned.mp4 2>/dev/null || ff -i flat.mp4 -c copy -metadata:s:v rotate=270 turned.mp4
rm flat.mp4
# Sound only.
ff -f lavfi -i "sine=440:d=0.2:r=8000" -c:a aac -b:a 16k sound.mp4
# Other codings, which ffmpeg reads.
ff -f lavfi -i "$(source_of 48 33 10 5)" -c:v ffv1 -pix_fmt gbrp other.mkv
ff -f lavfi -i "$(source_of 48 32 10 4)" -c:v libx265 -pix_fmt yuv420p -x265-params log-level=none:info=0 -tag:v hvc1 h265.mp4
ff -f lavfi -i "$(source_of 48 32 10 4)" -c:v libx264 -x264-params sei=0:info=0:interlaced=1 -pix_fmt yuv420p interlaced.mp4
# Pictures.
ff -f lavfi -i "$(source_of 40 31 10 6)" -lavfi "split[a][b];[a]palettegen=max_colors=32[p];[b][p]paletteuse=dither=none" moving.gif
mkdir folder
ff -f lavfi -i "$(source_of 21 13 10 12)" -start_number 1 folder/p%d.png

for file in first.mp4 last.mp4 fragments.mp4 cut.mov turned.mp4 other.mkv h265.mp4 interlaced.mp4 moving.gif folder; do
    input="$file"; before=()
    [ "$file" = folder ] && { input=folder/p%d.png; before=(-framerate 25); }
    mapfile -t times < <(ffprobe -v error "${before[@]}" -select_streams v:0 -show_entries frame=best_effort_timestamp_time -of csv=p=0 "$input" | tr -d ,)
    ffmpeg -nostdin -v error "${before[@]}" -i "$input" -fps_mode passthrough -c:v ppm -pix_fmt rgb24 -f image2pipe - |
        FILE="$file" TIMES="${times[*]}" python3 "$here/sums.py" >> sums.txt
done
du -cb ./* folder/* | tail -1
