// What is wrong with a file, in words: browsers say no more than that a picture did not decode, and
// paint half of one that was cut short.

const READ = 'a JPEG, PNG, WebP, GIF, BMP or AVIF picture';
const CONVERT = 'Convert it to JPEG or PNG first.';
const MOST_PIXELS = 178e6; // as pix2pix-tf colorize

/** An error whose message is for the visitor. */
export class PictureError extends Error {}

/** @returns {Promise<string>} JPEG, PNG, …; "" if the bytes are of no kind known here */
export async function checkFile(file) {
  if (file.size === 0) {
    throw new PictureError(`it is empty (0 bytes). Expected ${READ}.`);
  }
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new PictureError('it cannot be read. Folders are not accepted; choose one photograph.');
  }
  const kind = kindOf(bytes);
  if (kind === 'JPEG' && !isWholeJpeg(bytes)) throw cutShort(kind, file.size);
  if (kind === 'PNG' && !isWholePng(bytes)) throw cutShort(kind, file.size);
  if (kind === 'WebP' && bytes.length < 8 + little32(bytes, 4)) throw cutShort(kind, file.size);
  return kind;
}

function cutShort(kind, size) {
  return new PictureError(
    `it is a damaged ${kind}: the file ends before the picture does (${size} bytes came). ` +
      'Copy or download it again.',
  );
}

/** What to say of a file that the browser could not decode. */
export function undecodable(kind, file) {
  if (kind === 'TIFF' || kind === 'HEIC') {
    return new PictureError(`it is ${kind}, which this browser does not read. ${CONVERT}`);
  }
  if (kind) {
    return new PictureError(
      `it is a damaged ${kind}, or one that this browser does not read (too large, or a rare variety).`,
    );
  }
  const type = file.type && !file.type.startsWith('image/') ? ` (${file.type})` : '';
  return new PictureError(`it is no picture${type}, whatever its name says. Expected ${READ}.`);
}

/** Throws if a picture is larger than is handled. */
export function checkSize(width, height) {
  if (width * height > MOST_PIXELS) {
    throw new PictureError(
      `it has ${width} × ${height} pixels; at most ${MOST_PIXELS / 1e6} megapixels are handled. ` +
        'Scale it down, or use pix2pix-tf colorize.',
    );
  }
}

export function tooLargeHere(width, height) {
  return new PictureError(
    `${width} × ${height} pixels are more than this browser can hold in one picture. ` +
      'Scale it down, or use another browser.',
  );
}

function kindOf(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 16));
  if (text.startsWith('\xff\xd8\xff')) return 'JPEG';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'PNG';
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'WebP';
  if (text.startsWith('GIF8')) return 'GIF';
  if (text.startsWith('BM')) return 'BMP';
  if (text.startsWith('II*\0') || text.startsWith('MM\0*')) return 'TIFF';
  if (text.slice(4, 8) === 'ftyp') return text.slice(8, 11) === 'avi' ? 'AVIF' : 'HEIC';
  return '';
}

const big16 = (bytes, at) => (bytes[at] << 8) | bytes[at + 1];
const big32 = (bytes, at) => big16(bytes, at) * 65536 + big16(bytes, at + 2);
const little32 = (bytes, at) =>
  bytes[at] + bytes[at + 1] * 256 + bytes[at + 2] * 65536 + bytes[at + 3] * 16777216;

// From marker to marker up to the end of the image; what phones put behind it is not looked at.
function isWholeJpeg(bytes) {
  let at = 2;
  while (at + 1 < bytes.length) {
    if (bytes[at] !== 0xff) {
      at = bytes.indexOf(0xff, at); // coded pixels
      if (at < 0) return false;
      continue;
    }
    const marker = bytes[at + 1];
    if (marker === 0xd9) return true;
    if (marker === 0xff) at += 1;
    else if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd8)) at += 2; // without a length
    else at += 2 + big16(bytes, at + 2);
  }
  return false;
}

function isWholePng(bytes) {
  for (let at = 8; at + 12 <= bytes.length; at += 12 + big32(bytes, at)) {
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === 'IEND') return true;
  }
  return false;
}
