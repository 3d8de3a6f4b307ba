"""The page of docs/browser in a headless Chromium, against LiteRT in Python on the same files."""

import base64
import contextlib
import http.server
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
from conftest import PATIENCE, ROOT
from PIL import Image, ImageCms

from pix2pix_tf import color
from pix2pix_tf.colorizer import Colorizer, merge, network_input
from pix2pix_tf.photographs import ORIENTATION_TAG, read_photograph

PAGE = ROOT / "docs" / "browser"
SAMPLES = ROOT / "docs" / "samples"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]


def _load_serve():
    spec = importlib.util.spec_from_file_location("serve", PAGE / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serve = _load_serve()


def missing(what):
    (pytest.fail if os.environ.get("PIX2PIX_TF_REQUIRE_ALL") == "1" else pytest.skip)(what)


class Site:
    """A server of the page on a free port, as serve.py has it or with something taken away."""

    def __init__(self, isolated=True, model=serve.MODEL, absent=()):
        class Handler(serve.Handler):
            def translate_path(self, path):
                gone = any(part in path for part in absent)
                return str(PAGE / "absent") if gone else super().translate_path(path)

        Handler.model, Handler.isolated = model, isolated
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.origin = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def runtime():
    if not serve.RUNTIME.is_file():
        missing("the page's runtime is missing: npm install --prefix docs/browser")


@pytest.fixture(scope="module")
def browser(runtime):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        missing("no chromium, in which the page is tried")
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed, which drives the browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=ARGUMENTS, headless=True
        )
        yield browser
        browser.close()


class Visit:
    """The page, opened."""

    def __init__(self, browser, site, script=None, **options):
        self.site = site
        self.context = browser.new_context(**options)
        self.requests = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.set_default_timeout(1000 * PATIENCE)  # milliseconds
        self.page = self.context.new_page()
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if script:
            self.page.add_init_script(script)
        self.page.goto(site.origin)

    def ready(self):
        self.says("#status", re.compile("^Ready"))
        return self

    def says(self, selector, text):
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_text(text, timeout=1000 * PATIENCE)

    def contains(self, selector, *texts):
        from playwright.sync_api import expect

        for text in texts:
            expect(self.page.locator(selector)).to_contain_text(text, timeout=1000 * PATIENCE)

    def give(self, *paths):
        self.page.set_input_files("#file", [str(path) for path in paths])

    def finish(self):
        """(name, PIL.Image) of the download."""
        self.contains("#status", "Done in")
        with self.page.expect_download(timeout=1000 * PATIENCE) as download:
            self.page.click("#download")
        with Image.open(download.value.path()) as image:
            image.load()
        return download.value.suggested_filename, image

    def pixels(self, canvas):
        """uint8 (height, width, 4) of a canvas that is shown."""
        url = self.page.evaluate(
            """id => {
                const shown = document.getElementById(id);
                const copy = document.createElement('canvas');
                copy.width = shown.width;
                copy.height = shown.height;
                copy.getContext('2d').drawImage(shown, 0, 0);
                return copy.toDataURL();
            }""",
            canvas,
        )
        with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as image:
            return np.asarray(image.convert("RGBA"))

    def close(self):
        self.context.close()


@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="module")
def visit(browser, site):
    """One visit for most tests: whatever came before, the page goes on."""
    visit = Visit(browser, site).ready()
    yield visit
    assert visit.errors == []
    assert {url for url in visit.requests if not url.startswith((site.origin, "blob:"))} == set()
    visit.close()


@pytest.fixture
def visits(browser):
    """Function that opens a site of its own: visits(script=None, **what Site takes)."""
    with contextlib.ExitStack() as stack:

        def open_(script=None, **options):
            site = Site(**options)
            stack.callback(site.close)
            visit = Visit(browser, site, script)
            stack.callback(visit.close)
            return visit

        yield open_


@pytest.fixture(scope="module")
def colorizer():
    return Colorizer.load("photos-v2", backend="litert")


def _sample(name, size=None):
    with Image.open(SAMPLES / name) as image:
        image = image.convert("RGB")
        return image.resize(size, Image.Resampling.BICUBIC) if size else image


def _small(path):
    shutil.copy(SAMPLES / "cat.jpg", path)


def _grey(path):
    _sample("cameraman.jpg").convert("L").save(path, quality=90)


def _twelve_megapixels(path):
    _sample("temple.jpg", (4000, 3000)).save(path, quality=90)


def _rotated(path):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    _sample("rocket.jpg").save(path, quality=90, exif=exif)


def _transparent(path):
    image = _sample("flower.jpg", (200, 150))
    ramp = np.linspace(0, 255, 200).round().astype(np.uint8)
    image.putalpha(Image.fromarray(np.tile(ramp, (150, 1))))
    image.save(path)


def _one_pixel(path):
    Image.new("RGB", (1, 1), (90, 90, 90)).save(path)


def _long(path):
    _sample("raccoon.jpg", (3000, 20)).save(path)


def _with_profile(path):
    """Pixels with a profile in which red and blue have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    _sample("coffee.jpg").save(path, quality=90, icc_profile=bytes(profile))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("small.jpg", _small),
        ("grey.jpg", _grey),
        ("twelve megapixels.jpg", _twelve_megapixels),
        ("rotated.jpg", _rotated),
        ("transparent.png", _transparent),
        ("one.png", _one_pixel),
        ("long.png", _long),
        ("profile.jpg", _with_profile),
    ],
)
def test_the_download_is_the_answer_of_litert_in_python(visit, colorizer, tmp_path, name, write):
    write(tmp_path / name)
    photograph = read_photograph(tmp_path / name)
    visit.give(tmp_path / name)
    (expected,) = colorizer.process([photograph])
    visit.says("#facts", re.compile(re.escape(name)))
    saved_as, image = visit.finish()
    assert saved_as == name.rsplit(".", 1)[0] + "-colour.png"
    assert image.format == "PNG"
    received = np.asarray(image.convert("RGBA"))
    assert received.shape[:2] == expected.pixels.shape[:2]
    difference = np.abs(received[..., :3].astype(int) - expected.pixels)
    if expected.alpha is None:
        assert received[..., 3].min() == 255
    else:
        np.testing.assert_array_equal(received[..., 3:], expected.alpha)
        difference = difference[expected.alpha[..., 0] >= 64]  # below, canvases round colour off
    assert difference.mean() <= 2
    if name == "small.jpg":  # whose answer is far from grey, which would not pass thus
        assert np.abs(color.desaturate(photograph.pixels).astype(int) - expected.pixels).mean() > 6


def test_formulas_and_geometry_are_those_of_python(visit):
    rng = np.random.default_rng(0)
    for height, width in ((37, 411), (300, 50), (1, 1)):
        side = 48
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        ab = (rng.random((side, side, 2), np.float32) - 0.5) * 160
        rgba = np.concatenate([image, np.full((height, width, 1), 255, np.uint8)], axis=-1)
        answer = visit.page.evaluate(
            """async ([bytes, width, height, side, ab]) => {
                const { LightnessSqueeze, Merge, desaturate } = await import('./colorizer.js');
                const rgba = Uint8ClampedArray.from(bytes);
                const half = 4 * width * Math.ceil(height / 2); // two strips
                const squeeze = new LightnessSqueeze(width, height, side);
                const merge = new Merge(width, height, side, Float32Array.from(ab));
                const grey = rgba.slice();
                desaturate(grey);
                for (const strip of [rgba.subarray(0, half), rgba.subarray(half)]) {
                    squeeze.add(strip);
                    merge.colour(strip);
                }
                const lists = [squeeze.finish(), rgba, grey];
                return lists.map((list) => Array.from(list));
            }""",
            [rgba.ravel().tolist(), width, height, side, ab.ravel().tolist()],
        )
        L = np.array(answer[0]).reshape(side, side, 1)
        np.testing.assert_allclose(L, (network_input(image, side) + 1) * 50, atol=0.01)
        for received, expected in (
            (answer[1], merge(image, ab / color.AB_SCALE)),
            (answer[2], color.desaturate(image)),
        ):
            rgb = np.array(received).reshape(height, width, 4)[..., :3]
            difference = np.abs(rgb - expected.astype(int))
            assert difference.max() <= 1
            assert difference.mean() < 0.02


def test_the_slider_goes_from_grey_to_colour_by_key_and_by_pointer(visit):
    page = visit.page
    visit.give(SAMPLES / "cat.jpg")
    _, image = visit.finish()
    original = np.asarray(_sample("cat.jpg"))
    grey, colour = visit.pixels("grey")[..., :3], visit.pixels("colour")[..., :3]
    assert np.abs(grey - color.desaturate(original).astype(int)).mean() < 0.5
    np.testing.assert_array_equal(colour, np.asarray(image.convert("RGB")))

    def shown():
        clip = page.evaluate("getComputedStyle(document.getElementById('colour')).clipPath")
        assert clip.endswith("%)")
        return float(clip.split()[-1].rstrip("%)"))

    slider = page.locator("#slider")
    slider.focus()
    assert shown() == 50
    for key, expected in (("ArrowRight", 51), ("Home", 0), ("End", 100), ("ArrowLeft", 99)):
        page.keyboard.press(key)
        assert shown() == expected
        assert (
            slider.get_attribute("aria-valuetext")
            == f"{expected} % grey, {100 - expected} % colour"
        )
    box = page.locator("#compare").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.9, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, middle, steps=3)
    page.mouse.up()
    assert shown() == pytest.approx(25, abs=1)
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    assert shown() == pytest.approx(25, abs=1)  # let go


def _wrong_files(folder):
    cat = (SAMPLES / "cat.jpg").read_bytes()
    png = io.BytesIO()
    _sample("cat.jpg").save(png, "PNG")
    webp = io.BytesIO()
    _sample("cat.jpg").save(webp, "WEBP")
    tiff = io.BytesIO()
    _sample("cat.jpg", (9, 9)).save(tiff, "TIFF")
    files = {
        "text.jpg": (b"not a photograph\n", ["is no picture", "Expected a JPEG, PNG"]),
        "empty.jpg": (b"", ["is empty (0 bytes)", "Expected a JPEG, PNG"]),
        "cut.jpg": (cat[:-3000], ["damaged JPEG", f"{len(cat) - 3000} bytes came", "again"]),
        "head.jpg": (cat[:3], ["damaged JPEG"]),
        "cut.png": (png.getvalue()[:-2000], ["damaged PNG"]),
        "cut.webp": (webp.getvalue()[:-2000], ["damaged WebP"]),
        "noise.png": (png.getvalue()[:16] + b"x" * 50 + png.getvalue()[-12:], ["damaged PNG"]),
        "scan.tif": (tiff.getvalue(), ["is TIFF", "Convert it to JPEG or PNG"]),
    }
    for name, (data, words) in files.items():
        (folder / name).write_bytes(data)
        yield folder / name, words


def test_wrong_files_are_reported_in_words_and_do_not_end_the_page(visit, tmp_path):
    visit.give(SAMPLES / "flower.jpg")
    visit.finish()
    for path, words in _wrong_files(tmp_path):
        visit.give(path)
        visit.contains("#error", f"{path.name} cannot be coloured: it is", *words)
        visit.says("#status", "The previous photograph is still there.")
        assert visit.page.is_visible("#compare")
    visit.give(SAMPLES / "flower.jpg")
    saved_as, _ = visit.finish()
    assert saved_as == "flower-colour.png"
    assert visit.page.is_hidden("#error")


def test_what_else_browsers_read_is_coloured(visit, tmp_path):
    for name in ("a.gif", "b.webp", "c.bmp"):
        _sample("cat.jpg", (60, 40)).save(tmp_path / name)
        visit.give(tmp_path / name)
        visit.contains("#facts", f"{name}, 60 × 40 pixels")
        assert visit.finish()[1].size == (60, 40)


def test_files_are_dropped_and_the_newest_is_the_one_that_is_wanted(visit, tmp_path):
    _sample("temple.jpg", (2400, 1600)).save(tmp_path / "large.jpg")
    visit.give(tmp_path / "large.jpg")
    data = base64.b64encode((SAMPLES / "cat.jpg").read_bytes()).decode()
    drop = """async (data) => {
        const bytes = await (await fetch(location.origin)).blob(); // no file: a page
        const files = new DataTransfer();
        if (data) {
            const cat = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            files.items.add(new File([cat], 'cat.dropped.jpg', { type: 'image/jpeg' }));
            files.items.add(new File([bytes], 'second.jpg'));
        } else files.setData('text/plain', 'a text');
        document.body.dispatchEvent(
            new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: files }));
    }"""
    visit.page.evaluate(drop, data)
    visit.contains("#status", "One at a time: of 2 files the first was taken.")
    saved_as, image = visit.finish()
    assert (saved_as, image.size) == ("cat.dropped-colour.png", (451, 300))
    visit.page.evaluate(drop, "")
    visit.contains("#error", "What was dropped is no file")


def test_the_camera(visit, site):
    page = visit.page
    page.evaluate("""() => { navigator.mediaDevices.real = navigator.mediaDevices.getUserMedia;
        navigator.mediaDevices.getUserMedia = () =>
            Promise.reject(new DOMException('none', 'NotFoundError')); }""")
    page.click("#open-camera")
    visit.contains("#error", "No camera was found. Choose a file instead.")
    page.evaluate("delete navigator.mediaDevices.getUserMedia")
    page.click("#open-camera")  # headless browsers refuse unless told otherwise
    visit.contains("#error", "The camera was refused.")
    visit.context.grant_permissions(["camera"], origin=site.origin)
    page.click("#open-camera")
    visit.says("#status", "The camera is open.")
    page.wait_for_selector("#video:visible")
    page.click("#close-camera")
    page.wait_for_selector("#video", state="hidden")
    page.click("#open-camera")
    page.wait_for_selector("#video:visible")
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate("document.getElementById('video').videoWidth"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    page.click("#shoot")
    saved_as, image = visit.finish()
    assert saved_as == "camera-colour.png"
    assert min(image.size) >= 240
    assert page.evaluate("document.getElementById('video').srcObject") is None  # the light is off


def test_the_page_fits_narrow_and_wide_windows(visit):
    try:
        for width in (320, 390, 1280):
            visit.page.set_viewport_size({"width": width, "height": 800})
            assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    finally:
        visit.page.set_viewport_size({"width": 1280, "height": 720})


def test_the_page_itself_forbids_every_other_origin(visit, site):
    other = Site()
    try:
        assert (
            visit.page.evaluate(
                "url => fetch(url, {mode: 'no-cors'}).then(() => 'sent', () => 'refused')",
                other.origin,
            )
            == "refused"
        )
    finally:
        other.close()
    policy = visit.page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|unsafe-inline|'unsafe-eval'|\*", policy)


def test_isolated_it_says_how_many_threads_it_has(visit):
    visit.says("#remark", re.compile(r"^Runs on \d+ threads?\.$"))
    assert visit.page.evaluate("crossOriginIsolated")
    assert any("litert_wasm_threaded" in url for url in visit.requests)


def test_not_isolated_it_runs_single_threaded_and_says_so(visits, colorizer):
    visit = visits(isolated=False).ready()
    visit.contains("#remark", "Runs single-threaded", "not cross-origin isolated", "COOP and COEP")
    visit.give(SAMPLES / "cat.jpg")
    _, image = visit.finish()
    expected = colorizer.colorize(np.asarray(_sample("cat.jpg")))
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - expected).mean() <= 2
    assert visit.errors == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"absent": ["model.tflite"]}, ["model was not found", "404", "docs/browser/serve.py"]),
        ({"model": PAGE / "README.md"}, ["model.tflite is no LiteRT file", "serve.py"]),
        ({"absent": ["core/dist"]}, ["@litertjs/core was not found", "npm install --prefix"]),
        ({"absent": ["internal.js"]}, ["runtime did not start", "npm install --prefix"]),
        ({"absent": [".wasm"]}, ["runtime did not start", "npm install --prefix"]),
        ({"script": "WebAssembly.validate = () => false"}, ["no WebAssembly SIMD"]),
        ({"script": "delete globalThis.OffscreenCanvas"}, ["no OffscreenCanvas"]),
        ({"script": "delete globalThis.WebAssembly"}, ["no WebAssembly."]),
    ],
)
def test_the_page_says_what_is_missing(visits, options, words):
    visit = visits(**options)
    visit.contains("#error", *words)
    visit.says("#status", "Not ready: something is missing, see above.")
    assert visit.page.is_disabled("#file")
    assert visit.errors == []


def test_a_model_that_does_not_colourise_is_named(visits, tmp_path):
    model = tmp_path / "damaged.tflite"
    data = serve.MODEL.read_bytes()
    model.write_bytes(data.replace(b"predict_ab", b"predict_xy"))
    visit = visits(model=model)
    visit.contains("#error", "expected the signature predict_ab, received", "predict_xy")
    model.write_bytes(data[:100_000])
    visit = visits(model=model)
    visit.contains("#error", "cannot run model.tflite")


def test_the_one_liner_serves_the_page_the_model_and_the_headers(runtime):
    command = [sys.executable, str(PAGE / "serve.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[0]
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert b"<!doctype html>" in answer.read()
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            with urllib.request.urlopen(url + "worker.js", timeout=PATIENCE) as answer:
                assert "connect-src 'self';" in answer.headers["Content-Security-Policy"]
            with urllib.request.urlopen(url + "model.tflite", timeout=PATIENCE) as answer:
                assert answer.read() == serve.MODEL.read_bytes()
        finally:
            process.terminate()


def test_the_one_liner_says_what_is_missing():
    command = [sys.executable, str(PAGE / "serve.py"), "--model", "nowhere.tflite"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 1
    assert "no model at nowhere.tflite" in result.stderr
