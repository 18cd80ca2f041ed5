"""Pictures from outside: small files of every format and place that Pillow reads, and what it makes of them.

    python test/reference/outside.py            writes test/fixtures/outside/
    python test/reference/outside.py FOLDER     writes many more (all orientations x formats x places) for a comparison by hand
"""
import hashlib, io, json, pathlib, struct, sys, warnings, zlib
import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

warnings.simplefilter("ignore")
many = len(sys.argv) > 1
out = pathlib.Path(sys.argv[1]) if many else pathlib.Path(__file__).parent.parent / "fixtures" / "outside"
out.mkdir(exist_ok=True)
rng = np.random.default_rng(3)
picture = Image.fromarray(rng.integers(0, 256, (7, 10, 3), dtype="u1"))


def exif(n, type="H", order="<"):
    codes = {"H": 3, "L": 4, "B": 1, "f": 11}
    value = struct.pack(order + type, n).ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8)
    return b"Exif\0\0" + head + struct.pack(order + "HHHL", 1, 274, codes[type], 1) + value + b"\0\0\0\0"


attr = lambda n: f'<x tiff:Orientation="{n}"/>'.encode()
element = lambda n: f"<tiff:Orientation>{n}</tiff:Orientation>".encode()
single = lambda n: f"<x tiff:Orientation='{n}'/>".encode()
utf16 = lambda n: attr(n).decode().encode("utf-16")


def save(name, **options):
    picture.save(out / name, **options)


def text(key, value, kind="itxt"):
    info = PngImagePlugin.PngInfo()
    if kind == "itxt": info.add_itxt(key, value)
    elif kind == "itxt-zip": info.add_itxt(key, value, zip=True)
    else: info.add_text(key, value, zip=kind == "ztxt")
    return info


camera = Image.Exif(); camera[272] = "says nothing of an orientation"
for n in range(10) if many else [6, 7]:
    for form, xmp in {"attr": attr(n), "elem": element(n), "single": single(n), "utf16": utf16(n)}.items():
        if not many and form not in ("attr", "elem"): continue
        save(f"xmp-{form}-{n}.webp", xmp=xmp, lossless=True)
        save(f"xmp-{form}-{n}.jpeg", xmp=xmp, subsampling=0)
        save(f"xmp-{form}-{n}.tif", tiffinfo={700: xmp})
        if form != "utf16":
            for kind in ("itxt", "itxt-zip", "text", "ztxt") if many else ("itxt-zip",):
                save(f"xmp-{form}-{kind}-{n}.png", pnginfo=text("XML:com.adobe.xmp", xmp.decode(), kind))
    raw = "\nexif\n      34\n" + exif(n).hex() + "\n"
    for kind in ("text", "ztxt") if many else ("ztxt",):
        save(f"raw-{kind}-{n}.png", pnginfo=text("Raw profile type exif", raw, kind))
    save(f"both-{n}.jpeg", exif=exif(n), xmp=attr(3), subsampling=0)
    save(f"tag-{n}.tif", tiffinfo={274: n})
    # of a grey AVIF libraries decode the same pixels; Pillow writes EXIF's orientation as a turn of the picture (irot, imir)
    for name, options in {"xmp": {}, "both": {"exif": exif(n)}, "camera": {"exif": camera}}.items():
        picture.convert("L").save(out / f"{name}-{n}.avif", quality=100, xmp=attr(7 if name == "both" else n), **options)
    if many:
        for type in "HLBf":
            for order in "<>":
                block = exif(n, type, order)
                save(f"exif-{type}-{'le' if order == '<' else 'be'}-{n}.jpeg", exif=block)
                save(f"exif-{type}-{'le' if order == '<' else 'be'}-{n}.webp", exif=block, lossless=True)
                save(f"exif-{type}-{'le' if order == '<' else 'be'}-{n}.png", exif=block)
        save(f"both-{n}.webp", exif=exif(n), xmp=attr(3), lossless=True)
        save(f"both-{n}.png", exif=exif(n), pnginfo=text("XML:com.adobe.xmp", attr(3).decode()))
        save(f"both-{n}.tif", tiffinfo={274: n, 700: attr(3)})


def lzw(indices, bits):
    """Codes as they are, with a clear code before the table grows."""
    codes, size, clear = [], bits + 1, 1 << bits
    for i, index in enumerate(indices):
        if i % max(1, clear - 2) == 0: codes.append(clear)
        codes.append(int(index))
    value = sum(code << (size * i) for i, code in enumerate(codes + [clear + 1]))
    data = value.to_bytes(size * (len(codes) + 1) // 8 + 1, "little")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return bytes([bits]) + blocks + b"\0"


def gif(screen, box, bits=4, local=False, glob=True, trans=None, interlace=False, background=2):
    palette = rng.integers(0, 256, 3 << bits, dtype="u1").tobytes()
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, (0x80 | bits - 1) if glob else 0, background, 0)
    control = b"" if trans is None else b"!\xf9\4\1\0\0" + bytes([trans]) + b"\0"
    flags = (0x40 if interlace else 0) | ((0x80 | bits - 1) if local else 0)
    image = b"," + struct.pack("<HHHHB", *box, flags) + (palette[::-1] if local else b"")
    return head + (palette if glob else b"") + control + image + lzw(rng.integers(0, 1 << bits, box[2] * box[3]), bits) + b";"


for i in range(200 if many else 6):
    screen = rng.integers(1, 12, 2)
    box = (*rng.integers(0, 5, 2), *rng.integers(1, 12, 2))
    f = gif(screen, box, int(rng.integers(2, 9)), bool(i & 1), bool(i % 5), [None, 1, 3][i % 3], bool(i & 2))
    (out / f"made-{i}.gif").write_bytes(f)
for i, mode in enumerate(["1", "L", "P", "RGB", "RGBA"]):
    image = picture.quantize(9) if mode == "P" else picture.convert(mode)
    image.save(out / f"{mode}.bmp")
    image.save(out / f"{mode}.tiff", compression=["group4", None, "tiff_lzw", "tiff_adobe_deflate", "packbits"][i])
picture.convert("CMYK").save(out / "CMYK.tiff", compression="tiff_lzw")
Image.fromarray(rng.integers(0, 600, (7, 10), dtype="u2")).save(out / "grey-16.tiff")
picture.save(out / "moving.webp", save_all=True, append_images=[picture.rotate(180)], lossless=True)
clear = picture.convert("RGBA"); clear.putalpha(Image.new("L", picture.size, 9)); clear.paste((0, 0, 0, 0), (0, 0, 4, 4))
clear.save(out / "moving-clear.webp", save_all=True, append_images=[picture.rotate(180).convert("RGBA")], lossless=True, minimize_size=True)
picture.save(out / "moving.png", save_all=True, append_images=[picture.rotate(180)])
picture.save(out / "default.png", save_all=True, append_images=[picture.rotate(180)], default_image=True)
picture.save(out / "pages.tiff", save_all=True, append_images=[picture.resize((3, 3))])

expected = {}
for file in sorted(out.iterdir()):
    if file.name.startswith(("expected", "jpegbomb", "gifbomb")): continue
    try: image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    except Exception as e: print(file.name, "PIL refuses:", e); continue
    expected[file.name] = [*image.size, hashlib.sha256(image.tobytes()).hexdigest()]
(out / "expected.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in expected.items()) + "\n}\n")
