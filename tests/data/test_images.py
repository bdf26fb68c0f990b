"""Decoding: every common format gives the same pixels, and every failure one short reason."""

import hashlib
import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, TiffImagePlugin

from gannet.data import images
from gannet.data.images import MAX_PIXELS, check_image, decode, digest, load_rgb, pixel_digest, thumbnail
from gannet.errors import GannetError
from gannet.support.memory import MemoryBudget

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def quadrants(size=32):
    """Return an image of red, green, blue and white quarters, which each rotation and reflection changes."""
    pixels = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:] = RED, GREEN
    pixels[half:, :half], pixels[half:, half:] = BLUE, WHITE
    return Image.fromarray(pixels)


def noise(seed=0, size=(48, 64)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_decodes_to_the_same_picture(kind):
    pixels = decode(encode(quadrants(), kind), 16)
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    for (row, column), color in {(3, 3): RED, (3, 12): GREEN, (12, 3): BLUE, (12, 12): WHITE}.items():
        assert np.abs(pixels[row, column].astype(int) - color).max() < 40, (kind, row, column)


@pytest.mark.parametrize("size", [1, 7, 24, 63, 65, 128])
@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (7, 24), (65, 63)])
def test_any_shape_gives_any_size(shape, size):
    pixels = decode(encode(noise(size=shape)), size)
    assert pixels.shape == (size, size, 3)
    assert pixels.flags.writeable


def test_same_size_is_exact():
    pixels = np.asarray(noise(size=(32, 32)))
    assert np.array_equal(decode(encode(Image.fromarray(pixels)), 32), pixels)
    assert np.array_equal(decode(pixels, 32), pixels)


def test_shorter_side_is_resized_and_the_center_is_cut():
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = GREEN
    pixels[:, :20] = RED
    assert np.array_equal(decode(pixels, 20), pixels[:, 20:40])
    assert np.array_equal(decode(pixels.transpose(1, 0, 2).copy(), 20), pixels[:, 20:40])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    wanted = {
        1: [RED, GREEN, BLUE, WHITE], 2: [GREEN, RED, WHITE, BLUE], 3: [WHITE, BLUE, GREEN, RED],
        4: [BLUE, WHITE, RED, GREEN], 5: [RED, BLUE, GREEN, WHITE], 6: [BLUE, RED, WHITE, GREEN],
        7: [WHITE, GREEN, BLUE, RED], 8: [GREEN, WHITE, RED, BLUE],
    }[orientation]  # fmt: skip
    raw = encode(quadrants(), kind, exif=exif)
    shown = Image.open(io.BytesIO(thumbnail(raw, 32)))
    for pixels in (decode(raw, 32), np.asarray(shown)):
        corners = [pixels[6, 6], pixels[6, 25], pixels[25, 6], pixels[25, 25]]
        assert np.abs(np.array(corners, dtype=int) - wanted).max() < 60


def test_orientation_beyond_the_standard_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert np.array_equal(decode(encode(quadrants(), exif=exif), 32), np.asarray(quadrants()))


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert (decode(encode(clear), 8) == 255).all()
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert np.abs(decode(encode(half), 8).astype(int) - 127).max() <= 1
    assert (decode(encode(Image.new("LA", (8, 8), (0, 0))), 8) == 255).all()


def test_palette_with_and_without_transparency():
    palette = quadrants().quantize(8)
    assert np.abs(decode(encode(palette), 32)[3, 3].astype(int) - RED).max() < 20
    index = palette.getpixel((0, 0))
    assert (decode(encode(palette, transparency=index), 32)[3, 3] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "LAB"])
def test_other_modes(mode):
    kind = "TIFF" if mode in ("CMYK", "YCbCr", "LAB", "1") else "PNG"
    image = Image.new("RGB", (9, 9), "white")
    image = Image.new("LAB", (9, 9), (255, 128, 128)) if mode == "LAB" else image.convert(mode)
    assert decode(encode(image, kind), 9).min() > 245


def test_cmyk_jpeg():
    pixels = decode(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), 16)
    assert np.abs(pixels[8, 8].astype(int) - RED).max() < 40


def test_sixteen_bit_gray_uses_its_whole_range():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels = decode(encode(Image.fromarray(ramp)), 8)
    assert np.abs(pixels[..., 0].astype(int) - np.rint(ramp / 257)).max() == 0


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_gray_is_stretched(dtype):
    ramp = np.arange(64, dtype=dtype).reshape(8, 8) * 1000 - 5000
    pixels = decode(encode(Image.fromarray(ramp), "TIFF"), 8)
    assert pixels.min() == 0 and pixels.max() == 255
    assert (decode(encode(Image.fromarray(np.full((8, 8), 3, dtype)), "TIFF"), 8) == 0).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, GREEN, BLUE)]
    raw = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(decode(raw, 8)[4, 4].astype(int) - RED).max() < 20


def test_large_jpeg_reduced_while_decoding_looks_like_the_full_decode():
    smooth = noise(size=(12, 16)).resize((1600, 1200), Image.Resampling.BICUBIC)
    raw = encode(smooth, "JPEG", quality=95)
    full = decode(np.asarray(Image.open(io.BytesIO(raw))), 64)
    assert np.abs(decode(raw, 64).astype(int) - full).mean() < 1.5


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"hello, not a picture", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (png_header(60_000, 60_000), "too many pixels"),
        (png_header(2**31 - 1, 2**31 - 1), "too many pixels"),
        (encode(noise(), "JPEG")[:900], "truncated"),
        (encode(noise())[:900], "truncated"),
    ],
)
@pytest.mark.parametrize("function", [decode, thumbnail])
def test_bad_data_is_named(function, raw, reason):
    with pytest.raises(GannetError, match=reason) as caught:
        function(raw, 16)
    assert len(str(caught.value).splitlines()) == 1


def test_large_images_are_decoded_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encode(Image.new("L", (1 << 14, 5500)), "JPEG"), 8).shape == (8, 8, 3)


def test_the_pixel_limit_does_not_hang_on_pillows(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(GannetError, match="too many pixels"):
        decode(png_header(MAX_PIXELS, 2), 16)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5)])
def test_zero_size(shape):
    with pytest.raises(GannetError):
        decode(png_header(*shape), 16)
    with pytest.raises(GannetError, match="uint8"):
        decode(np.zeros((*shape, 3), np.uint8), 16)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_arrays_of_another_form_are_refused(pixels):
    with pytest.raises(GannetError, match=r"\(h, w, 3\) uint8"):
        decode(pixels, 8)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_nothing_else(raw):
    with pytest.raises(GannetError):
        decode(raw, 8)


VALID = {kind: encode(noise(size=(20, 20)), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")}
VALID["LZW"] = encode(noise(size=(20, 20)), "TIFF", compression="tiff_lzw")


@given(
    st.sampled_from(sorted(VALID)),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=12),
    st.integers(1, 1 << 16),
)
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_raise_nothing_else(kind, changes, length):
    data = bytearray(VALID[kind])
    for position, value in changes:
        data[position % len(data)] = value
    try:
        pixels = decode(bytes(data[:length]), 8)
    except GannetError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert pixels.shape == (8, 8, 3)


def test_nothing_is_printed_about_damaged_files():
    code = """
import io, sys
from PIL import Image, ImageDraw, TiffImagePlugin
from gannet.data import decode
from gannet.errors import GannetError
from gannet.support.memory import MemoryBudget
Image.MAX_IMAGE_PIXELS = 100
lzw = {"compression": "tiff_lzw"}
for kind, options in [("TIFF", lzw), ("TIFF", {}), ("JPEG", {}), ("PNG", {}), ("GIF", {})]:
    out = io.BytesIO()
    Image.effect_noise((13, 13), 90).save(out, kind, **options)
    data = bytearray(out.getvalue())
    for at in [None, *range(8, len(data), 7)]:
        if at is not None:
            data[at] ^= 0x5A
        try:
            decode(bytes(data), 8)
        except GannetError:
            pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_thumbnail_keeps_the_aspect_and_never_enlarges():
    assert Image.open(io.BytesIO(thumbnail(encode(noise(size=(50, 200))), 100))).size == (100, 25)
    small = Image.open(io.BytesIO(thumbnail(encode(noise(size=(8, 8))), 100)))
    assert small.size == (8, 8) and small.format == "JPEG"
    clear = thumbnail(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), 100)
    assert np.asarray(Image.open(io.BytesIO(clear))).min() > 250


def test_digest_names_the_content():
    assert len(digest(b"a")) == 16
    assert digest(b"a") == digest(b"a") != digest(b"b")
    tall, wide = np.zeros((4, 2, 3), np.uint8), np.zeros((2, 4, 3), np.uint8)
    assert digest(tall) != digest(wide)
    assert digest(tall) != digest(tall.tobytes())
    turned = np.asarray(noise()).transpose(1, 0, 2)
    assert digest(turned) == digest(turned.copy())


def drawing(color, shape="ellipse", ground=(0, 0, 0, 0)):
    """Return a drawing of one color on transparency, with lines of another shape each."""
    image = Image.new("RGBA", (64, 64), ground)
    draw = ImageDraw.Draw(image)
    getattr(draw, shape)((10, 14, 52, 48), outline=color, width=4)
    draw.line((5, 60, 40, 5 if shape == "ellipse" else 30), fill=color, width=3)
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("color", [(255, 255, 255, 255), (240, 244, 250, 255), (255, 255, 255, 140)])
@pytest.mark.parametrize("function", [lambda raw: decode(raw, 48), load_rgb, lambda raw: decode(thumbnail(raw, 64), 9)])
def test_drawings_in_white_on_transparency_differ(kind, color, function):
    options = {"lossless": True} if kind == "WEBP" else {}
    one, other = (function(encode(drawing(color, shape), kind, **options)) for shape in ("ellipse", "rectangle"))
    assert one.std() > 30 and np.abs(one.astype(int) - other).mean() > 10


def test_the_ground_differs_from_the_drawing():
    black = decode(encode(drawing((0, 0, 0, 255))), 64)
    assert (black[0, 0] == 255).all() and black.min() < 30, "white, unless the drawing is white"
    white = decode(encode(drawing((255, 255, 255, 255))), 64)
    assert (white[0, 0] == 0).all() and white.max() > 225
    both = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    both.paste((0, 0, 0, 255), (8, 8, 28, 56))
    both.paste((255, 255, 255, 255), (36, 8, 56, 56))
    assert (decode(encode(both), 64)[[0, 20, 20], [0, 16, 44], 0] == [128, 0, 255]).all()
    photo = noise(size=(64, 64)).convert("RGBA")
    photo.putalpha(Image.new("L", (64, 64), 255))
    assert np.array_equal(decode(encode(photo), 64), np.asarray(noise(size=(64, 64))))


def test_lines_that_are_holes_in_white_are_seen():
    canvas = Image.new("RGBA", (64, 64), "white")
    ImageDraw.Draw(canvas).ellipse((10, 14, 52, 48), outline=(255, 255, 255, 0), width=3)
    assert decode(encode(canvas), 64).std() > 30


RASTER = np.random.default_rng(3).normal(40, 8, (64, 64)).astype(np.float32)


@pytest.mark.parametrize("marker", [np.inf, -np.inf, np.nan, -3.4e38, 3.4e38, -9999, -32768, 1e20, 1e6])
@pytest.mark.parametrize("share", [1, 40, 2000])
def test_markers_of_missing_values_do_not_flatten_a_raster(marker, share):
    values = RASTER.copy()
    places = np.random.default_rng(0).permutation(values.size)[:share]
    values.flat[places] = marker
    expected, found = (decode(encode(Image.fromarray(v), "TIFF"), 64)[..., 0].astype(float) for v in (RASTER, values))
    others = np.ones(values.size, bool)
    others[places] = False
    correlation = np.corrcoef(expected.ravel()[others], found.ravel()[others])[0, 1]
    assert correlation > 0.99 and found.ravel()[others].std() > 20
    assert set(found.flat[places]) <= {0, 255}


def test_several_markers_at_once():
    values = RASTER.copy()
    values[:4], values[4:8], values[8:9], values[9, 0] = -9999, 65535, np.nan, np.inf
    assert decode(encode(Image.fromarray(values), "TIFF"), 64)[10:, :, 0].std() > 20


def test_the_tags_of_a_raster_count():
    values = RASTER.copy()
    values[:20] = 0  # not far from the others: only the tag says that it is no value
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    plain = decode(encode(Image.fromarray(values), "TIFF"), 64)[20:]
    tags[42113] = "0"
    tagged = decode(encode(Image.fromarray(values), "TIFF", tiffinfo=tags), 64)[20:]
    assert tagged.std() > 1.2 * plain.std()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[340], tags[341] = 0.0, 100.0
    ranged = decode(encode(Image.fromarray(RASTER), "TIFF", tiffinfo=tags), 64)[..., 0]
    assert np.abs(ranged - RASTER * 2.55).max() <= 1
    tags[340], tags[341] = 0.0, 1e9
    wrong = decode(encode(Image.fromarray(RASTER), "TIFF", tiffinfo=tags), 64)
    assert np.array_equal(wrong, decode(encode(Image.fromarray(RASTER), "TIFF"), 64)), "a range that fits nothing"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("spots", [0, 2])
def test_gray_of_fewer_bits_in_sixteen_uses_the_whole_range(kind, bits, spots):
    ramp = np.linspace(0, 2**bits - 1, 4096).astype(np.uint16).reshape(64, 64)
    if spots:
        ramp[0, :spots] = 65535
    pixels = decode(encode(Image.fromarray(ramp), kind), 64)[..., 0].astype(int)
    assert np.abs(pixels - np.minimum(np.rint(ramp * (255 / (2**bits - 1))), 255)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "F", "1", "CMYK"])
def test_large_images_are_reduced_in_strips(mode):
    small = np.asarray(noise(size=(10, 12)))
    gray = small[..., 0].astype({"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8))
    image = Image.fromarray(gray * (257 if mode == "I;16" else 1) if mode in ("L", "I;16", "F") else small)
    image = image.convert("1" if mode == "1" else mode) if mode not in ("L", "I;16", "F") else image
    image = image.resize((4800, 4000), Image.Resampling.NEAREST)
    kind = "TIFF" if mode in ("F", "CMYK") else "PNG"
    few = decode(encode(image, kind), 10).astype(int)
    whole = decode(encode(image.resize((1200, 1000), Image.Resampling.NEAREST), kind), 10)
    assert np.abs(few - whole).max() <= 6


def webp_of(width, height):
    """Return a WebP file of some 40 bytes that declares a size."""
    raw = bytearray(encode(Image.new("RGB", (16, 16), "red"), "WEBP", lossless=True))
    at = raw.index(b"VP8L") + 9
    bits = int.from_bytes(raw[at : at + 4], "little") >> 28 << 28 | (height - 1) << 14 | (width - 1)
    raw[at : at + 4] = bits.to_bytes(4, "little")
    return bytes(raw)


def test_a_tiny_file_of_a_huge_picture_is_refused():
    assert decode(webp_of(300, 200), 8).shape == (8, 8, 3)
    for size in ((16383, 10900), (5000, 5000)):
        with pytest.raises(GannetError, match=rf"too many pixels \({size[0]} x {size[1]}\) for a file of \d\d bytes"):
            decode(webp_of(*size), 8)
        with pytest.raises(GannetError, match="too many pixels"):
            check_image(webp_of(*size), 10**9)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_of_a_huge_gray_picture():
    code = """
import io, pathlib
from PIL import Image, ImageDraw, TiffImagePlugin
from gannet.data import decode
Image.MAX_IMAGE_PIXELS = None
out = io.BytesIO()
Image.new("L", (12992, 12992), 77).save(out, "PNG")
status = pathlib.Path("/proc/self/status")
peak = lambda: int(status.read_text().split("VmHWM:")[1].split()[0])
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = peak()
assert (decode(out.getvalue(), 128) == 77).all()
print((peak() - before) >> 10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 260, "MB"


def test_an_image_above_the_budget_is_refused(monkeypatch):
    monkeypatch.setattr(images, "decoding_budget", lambda: MemoryBudget(4 << 20))
    assert decode(encode(noise()), 8).shape == (8, 8, 3)
    with pytest.raises(GannetError, match=r"too many pixels for the memory here \(2000 x 1000 in PNG take about"):
        decode(encode(Image.new("RGB", (2000, 1000))), 8)


def test_a_small_part_of_16_bits_is_scaled_from_its_own_range():
    ramp = np.linspace(29_000, 31_000, 4096).astype(np.uint16).reshape(64, 64)
    pixels = decode(encode(Image.fromarray(ramp), "PNG"), 64)
    assert pixels.min() <= 2 and pixels.max() >= 253
    flat = Image.fromarray(np.full((8, 8), 30_000, np.uint16))
    assert len(np.unique(decode(encode(flat, "PNG"), 8))) == 1


def tiled_tiff(width, height):
    """Return a TIFF of 64 x 64 gray pixels in tiles of another size, with hardly any data."""
    data = zlib.compress(bytes(16))
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: width, 323: height, 324: 8, 325: len(data)}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + fields + bytes(4)


@pytest.mark.parametrize("size", [(16384, 16384), (1 << 20, 1 << 10), (4800, 4800)])
def test_the_tiles_of_a_tiff_count(size):
    """A tile is decoded whole, so that a large one takes its memory even if the image is small."""
    for function in (decode, thumbnail):
        with pytest.raises(GannetError, match=rf"too many pixels \({size[0]} x {size[1]}"):
            function(tiled_tiff(*size), 8)
    whole = encode(noise(size=(50, 40)), "TIFF", tiffinfo={322: 64, 323: 64}, compression="tiff_adobe_deflate")
    assert np.abs(decode(whole, 40).astype(int) - decode(encode(noise(size=(50, 40))), 40)).max() == 0


def test_a_jpeg_of_thousands_of_scans_is_refused():
    raw = encode(noise(), "JPEG", progressive=True)
    at = raw.rindex(b"\xff\xda")
    last = raw[at:-2]
    assert decode(raw[:-2] + 100 * last + raw[-2:], 16).shape == (16, 16, 3)
    with pytest.raises(GannetError, match=r"too many scans \(9,\d\d\d, above 500\)"):
        decode(raw[:-2] + 9000 * last + raw[-2:], 16)


def test_servers_take_only_small_jpeg_2000_images():
    """Their decoder stops all other threads, so that a server could not answer anybody."""
    check_image(encode(Image.new("RGB", (2000, 2000)), "JPEG2000"), MAX_PIXELS)
    large = encode(Image.new("RGB", (2001, 2000)), "JPEG2000")
    assert decode(large, 8).shape == (8, 8, 3)
    with pytest.raises(GannetError, match=r"too many pixels for JPEG 2000 \(2001 x 2000, above 4 million\)"):
        check_image(large, MAX_PIXELS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16", "F"])
def test_pixel_digest_of_a_large_picture(mode):
    """It is computed in strips, and is that of the whole picture in the form that collections store."""
    small = noise(size=(60, 50))
    image = small.resize((2200, 1100)).convert("I" if mode == "I;16" else mode).convert(mode)
    raw = encode(image, "TIFF")
    whole = image if mode in ("I;16", "F") else image.convert("RGBA")
    expected = hashlib.blake2b(f"{whole.mode} {whole.size} ".encode() + whole.tobytes(), digest_size=16).digest()
    assert pixel_digest(raw) == expected
