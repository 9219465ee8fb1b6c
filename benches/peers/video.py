"""Video from the file to the answer, beside OpenCV and ffmpeg: python3 benches/peers/video.py PERCEPT WORK_FOLDER

Needs opencv-python-headless and ffmpeg. Makes 300 JPEGs and 1,500 frames of H.264, 640x360, and 3,000 of 4:4:4 (which
Percept leaves to ffmpeg). What runs in turns is pinned to one core, or two; Percept's times are those of the whole process."""
import os, subprocess, sys, time

PERCEPT, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
TURNS = 5


def make(name, *args):
    path = os.path.join(WORK, name)
    if not os.path.exists(path):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", *args, path], check=True)
    return path


def seconds(cores, *command):
    start = time.perf_counter()
    subprocess.run(["taskset", "-c", cores, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def peer(code):
    """Time that OpenCV takes, measured inside, without its start."""
    code = "import cv2, time, glob; cv2.setNumThreads(1)\nt = time.perf_counter()\n" + code + "\nprint(time.perf_counter() - t)"
    return float(subprocess.run(["taskset", "-c", "0", sys.executable, "-c", code], check=True, capture_output=True).stdout)


def report(name, frames, runs):
    for who, times in runs.items():
        times = sorted(times)
        print(f"{name:28} {who:34} {frames / times[len(times) // 2]:8.0f} frames/s ({frames / times[-1]:.0f} to {frames / times[0]:.0f})")


def main():
    os.makedirs(os.path.join(WORK, "jpg"), exist_ok=True)
    jpg = os.path.join(WORK, "jpg")
    if not os.listdir(jpg):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "mandelbrot=size=640x360:rate=25", "-frames:v", "300",
                        "-q:v", "3", os.path.join(jpg, "%03d.jpg")], check=True)
        open(os.path.join(jpg, "frames.json"), "w").write('{"fps": 25}')
    source = "testsrc2=size=640x360:rate=25"
    h264 = make("v.mp4", source, "-frames:v", "1500", "-c:v", "libx264", "-crf", "23", "-pix_fmt", "yuv420p")
    other = make("v444.mp4", source, "-frames:v", "3000", "-c:v", "libx264", "-crf", "23", "-pix_fmt", "yuv444p")
    cases = {
        "300 JPEGs": (300, {
            "imread + resize 32x32, 1 core": lambda: peer(f"for f in sorted(glob.glob({jpg!r} + '/*.jpg')): cv2.resize(cv2.imread(f), (32, 32), interpolation=cv2.INTER_AREA)"),
            "percept probe --frames, 1 core": lambda: seconds("0", PERCEPT, "probe", "--frames", jpg),
            "percept tag, 1 core": lambda: seconds("0", PERCEPT, "tag", "-m", "gestures", jpg),
            "percept tag, 2 cores": lambda: seconds("0,1", PERCEPT, "tag", "-m", "gestures", jpg),
        }),
        "H.264": (1500, {
            "VideoCapture.read, 1 core": lambda: peer(f"v = cv2.VideoCapture({h264!r})\nwhile v.read()[0]: pass"),
            "percept probe --frames, 1 core": lambda: seconds("0", PERCEPT, "probe", "--frames", h264),
            "percept tag, 1 core": lambda: seconds("0", PERCEPT, "tag", "-m", "gestures", h264),
            "percept tag, 2 cores": lambda: seconds("0,1", PERCEPT, "tag", "-m", "gestures", h264),
        }),
        "H.264 4:4:4 by ffmpeg": (3000, {
            "ffmpeg to rgb24, 2 cores": lambda: seconds("0,1", "ffmpeg", "-v", "error", "-i", other, "-f", "rawvideo", "-pix_fmt", "rgb24", "-y", "/dev/null"),
            "percept probe --frames, 2 cores": lambda: seconds("0,1", PERCEPT, "probe", "--frames", other),
        }),
    }
    for name, (frames, runs) in cases.items():
        times = {who: [] for who in runs}
        for _ in range(TURNS):
            for who, run in runs.items():
                times[who].append(run())
        report(name, frames, times)


main()
