import numpy as np
import pytest
import skimage.color
import tensorflow as tf

from pix2pix_tf import color


def _traced(function):
    return tf.function(function)


def _compiled(function):
    return tf.function(function, jit_compile=True)


def _run(function, mode):
    """The function on NumPy arrays, or on tensors in one of TensorFlow's three ways."""
    if mode == "numpy":
        return function
    wrapped = {"eager": lambda f: f, "graph": _traced, "xla": _compiled}[mode](function)
    return lambda *arrays: wrapped(*map(tf.constant, arrays)).numpy()


every_mode = pytest.mark.parametrize("mode", ["numpy", "eager", "graph", "xla"])


@pytest.fixture(scope="module")
def cube():
    """Every fifth level of each channel, 0 and 255 among them: 140,608 colours."""
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


@every_mode
def test_lab_agrees_with_skimage(cube, mode):
    lab = _run(color.rgb_to_lab, mode)(cube)
    assert lab.dtype == np.float32
    assert np.abs(lab - skimage.color.rgb2lab(cube)).max() <= 1e-3


@every_mode
def test_rgb_agrees_with_skimage(cube, mode):
    lab = skimage.color.rgb2lab(cube).astype(np.float32)
    rgb = _run(color.lab_to_rgb, mode)(lab)
    assert np.abs(rgb - cube / 255).max() <= 1e-4


@every_mode
def test_uint8_comes_back(cube, mode):
    def there_and_back(rgb):
        return color.to_uint8(color.l_ab_to_rgb(*color.rgb_to_l_ab(rgb)))

    back = _run(there_and_back, mode)(cube)
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - cube).max() <= 1


@every_mode
def test_uint16_comes_back(mode):
    rgb = np.random.default_rng(0).integers(0, 65536, (50_000, 3)).astype(np.uint16)

    def there_and_back(rgb):
        return color.to_uint16(color.l_ab_to_rgb(*color.rgb_to_l_ab(rgb)))

    back = _run(there_and_back, mode)(rgb)
    assert back.dtype == np.uint16
    # 32 of 65,536 levels are an eighth of one 8-bit level.
    assert np.abs(back.astype(int) - rgb).max() <= 32


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (100, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_known_colours(rgb, lab):
    assert color.rgb_to_lab(np.uint8(rgb)) == pytest.approx(lab, abs=0.01)


def test_kinds_of_rgb_agree():
    rgb = np.array([[0, 1, 2], [100, 150, 200], [253, 254, 255]], np.uint8)
    lab = color.rgb_to_lab(rgb)
    for same in (rgb.astype(np.uint16) * 257, rgb / 255, (rgb / 255).astype(np.float32)):
        assert color.rgb_to_lab(same) == pytest.approx(lab, abs=1e-4)
    assert color.rgb_to_lab((rgb / 255).tolist()) == pytest.approx(lab, abs=1e-4)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (4, 6, 3), (2, 4, 6, 3), (1, 2, 1, 2, 3)])
@every_mode
def test_any_leading_dimensions(shape, mode):
    rgb = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    lab = _run(color.rgb_to_lab, mode)(rgb)
    assert lab.shape == shape
    flat = color.rgb_to_lab(rgb.reshape(-1, 3)).reshape(shape)
    assert lab == pytest.approx(flat, abs=1e-3)
    assert _run(color.lab_to_rgb, mode)(lab).shape == shape
    L, ab = color.rgb_to_l_ab(rgb)
    assert (L.shape, ab.shape) == ((*shape[:-1], 1), (*shape[:-1], 2))


def test_arrays_give_arrays_and_tensors_give_tensors():
    rgb = np.zeros((2, 3), np.uint8)
    assert isinstance(color.rgb_to_lab(rgb), np.ndarray)
    assert isinstance(color.rgb_to_lab(tf.constant(rgb)), tf.Tensor)


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lightness])
@pytest.mark.parametrize("make", [np.array, tf.constant])
def test_integers_of_unknown_range_are_refused(convert, make):
    with pytest.raises(ValueError, match="uint8, uint16 or float in \\[0, 1\\]; received int32"):
        convert(make(np.full((2, 3), 255, np.int32)))
    with pytest.raises(ValueError, match="received int64"):
        convert([[255, 0, 0]])


def _hue_and_chroma(lab):
    return np.degrees(np.arctan2(lab[..., 2], lab[..., 1])), np.hypot(lab[..., 1], lab[..., 2])


@every_mode
def test_reddening_a_gray_ends_where_srgb_does(mode):
    # Red rises and green falls to their ends and stay there; nothing turns them brighter.
    lab = np.stack([np.array([50, a, 0], np.float32) for a in range(0, 400, 4)])
    rgb = _run(lambda lab: color.to_uint8(color.lab_to_rgb(lab)), mode)(lab).astype(int)
    assert rgb[0].tolist() == [119, 119, 119]
    assert (np.diff(rgb[:20, 0]) > 0).all()
    assert (np.diff(rgb[:20, 1]) < 0).all()
    assert np.abs(rgb[20:] - [231, 0, 121]).max() <= 1


@pytest.fixture(scope="module")
def all_lab():
    """Lab with every L* and any a*, b* in ±110, 76,176 colors, black and white among them."""
    L, ab = np.linspace(0, 100, 144), np.linspace(-110, 110, 23)
    return np.stack(np.meshgrid(L, ab, ab, indexing="ij"), axis=-1).astype(np.float32)


@every_mode
def test_any_ab_keeps_the_lightness_and_the_hue(all_lab, mode):
    rgb = _run(color.lab_to_rgb, mode)(all_lab)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    seen = color.rgb_to_lab(rgb)
    assert np.abs(seen[..., 0] - all_lab[..., 0]).max() < 0.002
    (hue, chroma), (wanted, most) = _hue_and_chroma(seen), _hue_and_chroma(all_lab)
    turned = np.abs((hue - wanted + 180) % 360 - 180)[chroma > 2]
    assert turned.max() < 1.5
    assert np.quantile(turned, 0.99) < 0.1
    assert (chroma <= most + 0.01).all()


def test_rounded_to_bytes_the_lightness_is_kept(all_lab):
    """What people see: black stays black, and no L* moves by more than rounding does."""
    rgb = color.to_uint8(color.lab_to_rgb(all_lab))
    assert rgb[0].max() == 0
    assert rgb[-1].min() == 255
    # Half a level of green, the channel that counts most, is up to 0.25 L*.
    assert np.abs(color.lightness(rgb) - all_lab[..., :1]).max() < 0.5


def test_all_backends_bring_colors_inside_alike(all_lab):
    expected = 255.0 * color.lab_to_rgb(all_lab)
    for gather in (False, True):
        rgb = color.lab_to_rgb(tf.constant(all_lab), gather=gather).numpy()
        assert np.abs(255.0 * rgb - expected).max() < 1
    ab = np.tile(all_lab[0, :, :, 1:].reshape(1, -1, 2), (256, 1, 1))
    image = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, ab.shape[1], 1))
    expected = 255.0 * color.lab_to_rgb(np.concatenate([color.lightness(image), ab], axis=-1))
    assert np.abs(color.recolor(image, ab) - expected).max() < 1


def test_one_color_alone_is_brought_inside_too():
    assert color.lab_to_rgb(np.float32([0.0, 80.0, 60.0])).tolist() == [0.0, 0.0, 0.0]
    alone = color.lab_to_rgb(np.float32([50.0, 90.0, -20.0]))
    among = color.lab_to_rgb(np.float32([[50.0, 90.0, -20.0], [50.0, 0.0, 0.0]]))
    assert np.array_equal(alone, among[0])


def test_gradients_are_finite_wherever_a_network_paints(all_lab):
    L, ab = tf.constant(all_lab[::9, ..., :1] / 50 - 1), tf.constant(all_lab[::9, ..., 1:] / 110)
    with tf.GradientTape() as tape:
        tape.watch(ab)
        rgb = color.l_ab_to_rgb(L, ab)
    gradient = tape.gradient(rgb, ab).numpy()
    assert np.isfinite(gradient).all()
    assert 0.1 < np.abs(gradient).max() < 100


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
@pytest.mark.parametrize("mode", ["numpy", "graph"])
def test_what_srgb_has_is_converted_as_it_is(all_lab, mode):
    """Inside the gamut the formulas are skimage's."""
    rgb = _run(color.lab_to_rgb, mode)(all_lab)
    xyz = skimage.color.lab2xyz(all_lab.reshape(-1, 3))
    linear = (xyz @ np.array(color.XYZ_TO_RGB).T).reshape(all_lab.shape)
    inside = (linear.min(axis=-1) > 0) & (linear.max(axis=-1) < 1)
    assert 0.1 < inside.mean() < 0.3
    expected = skimage.color.lab2rgb(all_lab[inside])
    assert rgb[inside] == pytest.approx(expected, abs=1e-4)


@every_mode
def test_lightness_is_the_first_channel_of_lab(cube, mode):
    lightness = _run(color.lightness, mode)(cube)
    assert lightness.shape == (len(cube), 1)
    assert lightness == pytest.approx(color.rgb_to_lab(cube)[:, :1], abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_lightness_of_grey_needs_one_channel(dtype):
    grey = np.linspace(0, 1 if dtype == np.float32 else np.iinfo(dtype).max, 50).astype(dtype)
    one = color.lightness(grey[:, None])
    assert one == pytest.approx(color.lightness(np.stack([grey] * 3, axis=-1)), abs=1e-3)
    assert one[[0, -1], 0] == pytest.approx([0, 100], abs=1e-4)


def test_scaling():
    lab = np.array([[0, 0, 0], [50, 55, -110], [100, -55, 110]], np.float32)
    L, ab = color.scale_lab(lab)
    assert L.tolist() == [[-1], [0], [1]]
    assert ab.tolist() == [[0, 0], [0.5, -1], [-0.5, 1]]
    assert color.unscale_lab(L, ab).tolist() == lab.tolist()
    assert color.scale_l(np.float32(75)) == 0.5


def test_every_srgb_colour_lies_within_the_networks_range(cube):
    L, ab = color.rgb_to_l_ab(cube)
    assert np.abs(L).max() <= 1 + 1e-6
    assert 0.97 < np.abs(ab).max() < 1  # used nearly whole, never left


def test_chroma():
    assert color.chroma(np.float32([[50, 3, 4], [20, 0, 0], [70, -6, 8]])).tolist() == [5, 0, 10]


def test_quantising_rounds_and_clips():
    rgb = np.float32([-0.5, 0, 0.4 / 255, 0.6 / 255, 127.6 / 255, 1, 1.5])
    assert color.to_uint8(rgb).tolist() == [0, 0, 0, 1, 128, 255, 255]
    assert color.to_uint8(tf.constant(rgb)).numpy().tolist() == [0, 0, 0, 1, 128, 255, 255]
    wide = np.float32([-1, 0, 0.6 / 65535, 0.5, 1, 7])
    assert color.to_uint16(wide).tolist() == [0, 0, 1, 32768, 65535, 65535]


def test_numpy_twin_works_without_tensorflow(run_python, without):
    script = without("tensorflow", "keras") + (
        "import numpy as np\n"
        "from pix2pix_tf import color\n"
        "lab = color.rgb_to_lab(np.uint8([[255, 0, 0]]))\n"
        "print(lab.round().astype(int).tolist(), color.to_uint8(color.lab_to_rgb(lab)).tolist())\n"
        "assert not {'tensorflow', 'keras', 'cv2', 'skimage'} & set(sys.modules)\n"
    )
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[[53,", "80,", "67]]", "[[255,", "0,", "0]]"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["numpy", "graph"])
def test_all_sixteen_million_colours(mode):
    """Every sRGB colour, one level of red at a time: 1e-3 Lab, and back within one level."""
    plane = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), axis=-1)
    plane = plane.reshape(-1, 2).astype(np.uint8)
    to_lab = _run(color.rgb_to_lab, mode)
    back = _run(lambda lab: color.to_uint8(color.lab_to_rgb(lab)), mode)
    for red in range(256):
        rgb = np.insert(plane, 0, red, axis=1)
        lab = to_lab(rgb)
        assert np.abs(lab - skimage.color.rgb2lab(rgb)).max() <= 1e-3, f"red {red}"
        assert np.abs(back(lab).astype(int) - rgb).max() <= 1, f"red {red}"


@pytest.mark.parametrize("channels", [1, 3])
def test_recolor_is_the_lab_round_trip_with_other_chroma(channels):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (300, 300, channels), np.uint8)
    ab = random.uniform(-90, 90, (300, 300, 2)).astype(np.float32)

    def expected(image):
        lab = np.concatenate([color.lightness(image), ab], axis=-1)
        return color.lab_to_rgb(lab)

    wide = image.astype(np.uint16) * 257
    recoloured = color.recolor(wide, ab)
    assert np.abs(recoloured - 65535.0 * expected(wide)).max() < 0.7  # rounded, of 65535

    levels, rgb = color.recolor(image, ab), expected(image)
    differing = levels != color.to_uint8(rgb)
    assert differing.mean() < 0.001
    assert np.abs(rgb[differing] * 255 % 1 - 0.5).max() < 0.02  # halfway between two levels


@pytest.mark.parametrize("channels", [1, 3])
def test_greys_without_chroma_come_back_as_they_were(channels):
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], channels, axis=-1)
    recoloured = color.recolor(greys, np.zeros((1, 256, 2), np.float32))
    assert np.array_equal(recoloured, np.broadcast_to(greys, (1, 256, 3)))
