#!/bin/bash
# Gathers what the fuzzers begin with, in corpus/TARGET: files of this repository, of the media zoo where it is (its folder
# is the argument), and small ones that ffmpeg makes where it is. Nothing of it is committed.
set -eu
cd "$(dirname "$0")"
zoo=${1:-/work/shared/data/media_zoo}
percept=${PERCEPT:-percept}
most=32k

# keep TARGET FILE...: the first 32 kB of each.
keep() {
    local target=$1 file
    shift
    mkdir -p "corpus/$target"
    for file in "$@"; do
        [ -f "$file" ] || continue
        head -c "$most" "$file" > "corpus/$target/$(head -c "$most" "$file" | sha1sum | cut -c1-16)"
    done
}
# text TARGET: standard input.
text() {
    mkdir -p "corpus/$1"
    cat > corpus/tmp
    mv corpus/tmp "corpus/$1/$(sha1sum corpus/tmp | cut -c1-16)"
}

mkdir -p corpus
if [ -d "$zoo" ]; then
    while IFS= read -r file; do
        case ${file,,} in
            *.flac|*.mp3|*.wav|*.ogg|*.oga|*.opus|*.spx|*.m4a|*.aac|*.aif|*.aiff|*.aifc|*.caf|*.afc|*.x|*.bogus|*.apev2) keep audio "$file" ;;
            *.gif|*.jpg|*.jpeg|*.png|*.webp|*.bmp|*.tif|*.tiff) keep pictures "$file" ;;
            *.mp4|*.mov|*.3gp|*.3g2|*.mkv|*.webm) keep video "$file"; keep audio "$file" ;;
        esac
    done < <(find "$zoo" -type f)
fi
keep audio ../assets/*.wav ../assets/dog.ogg
keep pictures ../assets/gesture/00[1-3].jpg
keep video ../assets/gesture.mp4
printf 'frames.json:{"fps": 12.5}' | text pictures

if command -v ffmpeg > /dev/null; then
    made=$(mktemp -d)
    sound=(-f lavfi -i "sine=440:duration=0.15:sample_rate=8000")
    picture=(-f lavfi -i "testsrc=size=32x16:rate=10:duration=0.4")
    make() { ffmpeg -v error -y "$@" < /dev/null || true; }
    for end in wav flac mp3 ogg opus m4a aac aiff caf mka mp2 w64; do make "${sound[@]}" "$made/a.$end"; done
    for codec in pcm_u8 pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_alaw pcm_mulaw adpcm_ms adpcm_ima_wav; do
        make "${sound[@]}" -c:a $codec "$made/$codec.wav"
    done
    make "${sound[@]}" -ac 2 -c:a alac "$made/alac.m4a"
    make "${sound[@]}" -ac 6 "$made/six.flac"
    make "${sound[@]}" -f wav -rf64 always "$made/rf64.wav"
    keep audio "$made"/*
    rm "$made"/*
    for end in gif png webp apng bmp tiff jpg; do make "${picture[@]}" -frames:v 1 -update 1 "$made/still.$end"; done
    for end in gif apng webp; do make "${picture[@]}" "$made/moving.$end"; done
    make "${picture[@]}" -frames:v 1 -update 1 -pix_fmt pal8 "$made/table.png"
    make "${picture[@]}" -frames:v 1 -update 1 -pix_fmt rgba64be "$made/deep.png"
    keep pictures "$made"/*
    rm "$made"/*
    h264=(-c:v libx264 -pix_fmt yuv420p -bf 1)
    for end in mp4 mov mkv; do make "${picture[@]}" "${sound[@]}" "${h264[@]}" "$made/both.$end"; done
    make "${picture[@]}" "${h264[@]}" -movflags frag_keyframe+empty_moov "$made/fragments.mp4"
    make "${picture[@]}" "${h264[@]}" -x264-params cabac=0:slices=2 "$made/cavlc.mkv"
    make "${picture[@]}" -c:v libvpx -an "$made/vp8.webm"
    keep video "$made"/*
    keep audio "$made"/both.*
    rm -r "$made"
fi

keep npy ../tests/golden/run_rnn/*.npy ../tests/golden/run_rnn/*.safetensors
keep model ../tests/golden/run_rnn/*.safetensors ../tests/golden/run_rnn/*.pt
for model in ../assets/*.safetensors; do
    python3 - "$model" <<'P' | text model_header
import json, struct, sys
data = open(sys.argv[1], "rb").read()
header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
sys.stdout.write(header["__metadata__"]["percept"])
P
done
# A small model whole, for its tensors: the parts that a fuzzer can reach.
python3 - <<'P' | text model
import json, struct, sys
data = open("../assets/digits.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
entry = json.loads(header["__metadata__"]["percept"])
hidden, labels = 2, ["a", "b"]
entry["labels"] = labels
entry["network"].update(hidden_size=hidden, num_layers=1)
gates = header["rnn.weight_hh_l0"]["shape"][0] // entry_hidden if (entry_hidden := header["rnn.weight_hh_l0"]["shape"][1]) else 4
tensors, offset = {}, 0
for name, info in header.items():
    if name == "__metadata__" or "_l1" in name:
        continue
    shape = info["shape"]
    if name.startswith("rnn."):
        shape = [gates * hidden] + ([] if "bias" in name else [shape[1] if "ih" in name else hidden])
    if name == "head.weight":
        shape = [len(labels), shape[1] // entry_hidden * hidden]
    if name == "head.bias":
        shape = [len(labels)]
    count = 1
    for size in shape:
        count *= size
    size = count * (2 if info["dtype"] == "F16" else 4)
    tensors[name] = {"dtype": info["dtype"], "shape": shape, "data_offsets": [offset, offset + size]}
    offset += size
tensors = {"__metadata__": {"percept": json.dumps(entry)}, **tensors}
text = json.dumps(tensors).encode()
text += b" " * (-len(text) % 8)
sys.stdout.buffer.write(struct.pack("<Q", len(text)) + text + b"\x01" * offset)
P

find ../tests/golden/labels -type f | while IFS= read -r file; do keep labels "$file"; done
printf '0.5\t1.5\tdog\n\\\t1\t2\n3\t3\tcat\n' | text labels
printf 'a.wav\t0.5\t1.5\tdog\nb/c.wav\n' | text labels
printf 'Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n1\tS\t1\t2\ta.wav\t0.5\tA\n' | text labels
printf 'path,frame_start,frame_end,label\n"a,b",1,2,"x ""y"""\n' | text labels
printf 'filename,onset,offset,event_label\na.wav,0.5,1,x\n' | text labels
printf 'filename\tduration\na.wav\t10\n' | text labels
printf 'dog\n\ndog\ncat\n' | text labels
printf 'File type = "ooTextFile"\n"TextGrid"\n\n0\n1\n<exists>\n1\n"IntervalTier"\n"w"\n0\n1\n1\n0\n1\n"a"\n' | text labels
printf 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\ntiers? <exists>\nsize = 1\nitem []:\n  item [1]:\n    class = "IntervalTier"\n    name = "w"\n    xmin = 0\n    xmax = 1\n    intervals: size = 1\n    intervals [1]:\n      xmin = 0\n      xmax = 1\n      text = "a ""b"""\n' | text labels

printf 'path,label\n/proc/self/exe,a\n/etc/passwd,b\n' | text manifest
printf 'path,label,split,group,fold\n/proc/self/exe,a,train,x,1\n/etc/passwd,b,test,y,2\n/etc/hosts,"b ""c""",validation,,3\n' | text manifest
printf 'path\tlabel\tfold\n/etc/passwd\tb\t1\n\n"/etc/hosts"\t"c\td"\t3\n' | text manifest

line='{"schema_version":1,"tool":"percept","model":{"name":"m","sha256":"0a","task":"classify"},"settings":"","input":{"path":"a.wav","duration":1.5},"status":"ok","warnings":[],"predictions":[{"label":"x","score":0.5}]}'
event='{"schema_version":1,"model":{"name":"m","sha256":"0b","task":"tag","labels":["x"]},"input":{"path":"c.wav","duration":2},"recorded_at":"2020-01-01T00:00:00Z","status":"ok","warnings":["w"],"events":[{"label":"x","onset":0.5,"offset":1,"score":1,"peak":1,"frame_start":0,"frame_end":1}],"frames":{"hop_seconds":0.5,"scores":[[0.5],[0.25]]}}'
failed='{"schema_version":1,"tool":"percept","model":{"name":"m","sha256":"0a","task":"tag"},"input":{"path":"b.wav"},"status":"error","error":{"kind":"empty","message":"is empty"}}'
printf '%s\n%s\n%s\n' "$line" "$event" "$failed" | text results
printf '[%s,\n%s]' "$event" "$line" | text results
printf '{\n%s' "${line#\{}" | text results
if command -v "$percept" > /dev/null; then
    "$percept" tag ../assets/number.wav --format jsonl 2> /dev/null | text results
    "$percept" tag ../assets/seven.wav -m digits --frames --format jsonl 2> /dev/null | text results
    "$percept" classify ../assets/seven.wav ../assets/dog.ogg --format jsonl 2> /dev/null | text results
fi

printf '{"id": 1, "path": "a.wav"}\n' | text worker
printf '[{"id": {"a": [1]}, "path": "\\u00e4.wav"}, {"id": "x", "path": "b"}]\n\n{"id": null, "path": ""}\nnonsense\n' | text worker

for target in corpus/*/; do printf '%s %s\n' "$(ls "$target" | wc -l)" "$target"; done
