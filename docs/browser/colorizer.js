// The geometry and the colour formulas of pix2pix_tf/colorizer.py and color.py, in strips.
//
//   L* of the full-size picture → squeezed to side² → network → ab at network size
//       → bilinear to full size → merged with the full-size L*
//
// Pictures are RGBA bytes, sRGB. Nothing here touches the page, the network or a canvas.

const RGB_TO_XYZ = [
  [0.412453, 0.35758, 0.180423],
  [0.212671, 0.71516, 0.072169],
  [0.019334, 0.119193, 0.950227],
];
const WHITE = [0.95047, 1.0, 1.08883]; // XYZ of D65
const XYZ_TO_RGB = inverse(RGB_TO_XYZ);

const LAB_KNEE = 0.008856; // (6/29)³, where the cube root gives way to a straight line
const LAB_SLOPE = 7.787;
const LAB_OFFSET = 16 / 116;
const LAB_INVERSE_KNEE = 0.2068966; // 6/29

// Powers are looked up. With 2¹⁶ steps a table is off by at most 0.01 L* and 0.03 levels.
const STEPS = 65535;
const LINEAR = Float64Array.from({ length: 256 }, (_, i) => linearFromSrgb(i / 255));
const RED_Y = LINEAR.map((value) => value * RGB_TO_XYZ[1][0] * STEPS);
const GREEN_Y = LINEAR.map((value) => value * RGB_TO_XYZ[1][1] * STEPS);
const BLUE_Y = LINEAR.map((value) => value * RGB_TO_XYZ[1][2] * STEPS);
// The channels' weights sum to 1.000000 by design; the spare entry takes what rounding adds.
const LAB_F = Float32Array.from({ length: STEPS + 2 }, (_, i) => labCurve(i / STEPS));
const BYTE_OF_LINEAR = Uint8ClampedArray.from({ length: STEPS + 2 }, (_, i) =>
  Math.min(255, 255 * srgbFromLinear(Math.min(1, i / STEPS))),
);

function linearFromSrgb(value) {
  return value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
}

function srgbFromLinear(value) {
  return value > 0.0031308 ? 1.055 * value ** (1 / 2.4) - 0.055 : value * 12.92;
}

function labCurve(t) {
  return t > LAB_KNEE ? Math.cbrt(t) : LAB_SLOPE * t + LAB_OFFSET;
}

function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / determinant));
}

/**
 * Weights of the antialiased bilinear resize from `from` to `to` samples: a triangle over half-pixel
 * centres, as wide as the reduction, normalised at the borders (Pillow's BILINEAR).
 *
 * @returns {{start: number, weights: Float64Array}[]} one entry for each of `to` samples
 */
export function triangleWeights(from, to) {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.floor(centre - support + 0.5));
    const end = Math.min(from, Math.floor(centre + support + 0.5));
    const weights = Float64Array.from({ length: end - start }, (_, j) =>
      Math.max(0, 1 - Math.abs((start + j + 0.5 - centre) / support)),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { start, weights: weights.map((weight) => weight / sum) };
  });
}

/** Gathers a picture strip by strip into what the network sees: L* 0…100 at side × side. */
export class LightnessSqueeze {
  constructor(width, height, side) {
    this.width = width;
    this.height = height;
    this.side = side;
    this.columns = triangleWeights(width, side);
    this.line = new Float32Array(width);
    this.narrowed = new Float32Array(height * side);
    this.rows = 0;
  }

  /** Takes the next rows, RGBA; transparent ones are seen over white. */
  add(rgba) {
    const { width, side, line, narrowed, columns } = this;
    for (let at = 0; at < rgba.length; at += 4 * width) {
      for (let x = 0, p = at; x < width; x++, p += 4) {
        let red = rgba[p];
        let green = rgba[p + 1];
        let blue = rgba[p + 2];
        const alpha = rgba[p + 3];
        if (alpha < 255) {
          red = overWhite(red, alpha);
          green = overWhite(green, alpha);
          blue = overWhite(blue, alpha);
        }
        const y = RED_Y[red] + GREEN_Y[green] + BLUE_Y[blue];
        line[x] = 116 * LAB_F[(y + 0.5) | 0] - 16;
      }
      const row = side * this.rows++;
      for (let i = 0; i < side; i++) {
        const { start, weights } = columns[i];
        let sum = 0;
        for (let j = 0; j < weights.length; j++) sum += weights[j] * line[start + j];
        narrowed[row + i] = sum;
      }
    }
  }

  /** @returns {Float32Array} L* of side × side */
  finish() {
    const { height, side, narrowed } = this;
    const result = new Float32Array(side * side);
    triangleWeights(height, side).forEach(({ start, weights }, row) => {
      for (let i = 0; i < side; i++) {
        let sum = 0;
        for (let j = 0; j < weights.length; j++) sum += weights[j] * narrowed[(start + j) * side + i];
        result[row * side + i] = sum;
      }
    });
    return result;
  }
}

function overWhite(value, alpha) {
  return Math.round(255 + ((value - 255) * alpha) / 255);
}

const LEAST = -0.5; // in steps: what rounds to 0
const MOST = STEPS + 0.5;
const TINY = 1e-8;
const [[RED_X, RED_Y_LESS_1, RED_Z], [GREEN_X, GREEN_Y_LESS_1, GREEN_Z], [BLUE_X, BLUE_Y_LESS_1, BLUE_Z]] =
  XYZ_TO_RGB.map(([x, y, z]) => [x * WHITE[0], y - 1, z * WHITE[2]]);

/**
 * Brings a color that sRGB has not inside: with the most chroma that it has at that L* and hue.
 * An object of numbers, for an array or a function made for each pixel would take most of the time.
 */
class Inside {
  red = 0;
  green = 0;
  blue = 0;

  /** Linear light of the color whose luminance is `gray`; `p` and `q` are X and Z less Y in Lab's curve. */
  bring(gray, fy, p, q) {
    if (gray < TINY) {
      this.red = this.green = this.blue = gray;
      return;
    }
    // log(reach) is nearly straight over log(factor) = x: the secant finds where it is 0.
    let out = 0;
    let farOut = Math.log(Math.max(this.#reach(gray, fy, p, q), 1));
    let x = -farOut;
    let factor = Math.exp(x);
    let reached = this.#reach(gray, fy, factor * p, factor * q);
    for (let step = 0; step < 4 && Math.abs(reached - 1) > 0.001; step++) {
      const far = Math.log(Math.max(reached, TINY));
      const slope = Math.min(Math.max((farOut - far) / Math.max(out - x, TINY), 0.3), 4);
      if (far > 0) {
        out = x;
        farOut = far;
      }
      x = Math.min(x - far / slope, 0);
      factor = Math.exp(x);
      reached = this.#reach(gray, fy, factor * p, factor * q);
    }
    const rest = 1 / Math.max(reached, 0.99); // to the border, from both sides
    this.red = gray + this.red * rest;
    this.green = gray + this.green * rest;
    this.blue = gray + this.blue * rest;
  }

  // Sets the channels less the gray; gives how far the farthest is, of what is allowed.
  #reach(gray, fy, p, q) {
    const X = labCurveInverse(fy + p);
    const Z = labCurveInverse(fy + q);
    const red = RED_X * X + RED_Y_LESS_1 * gray + RED_Z * Z;
    const green = GREEN_X * X + GREEN_Y_LESS_1 * gray + GREEN_Z * Z;
    const blue = BLUE_X * X + BLUE_Y_LESS_1 * gray + BLUE_Z * Z;
    this.red = red;
    this.green = green;
    this.blue = blue;
    return Math.max(
      Math.max(red, green, blue) / Math.max(1 - gray, TINY),
      -Math.min(red, green, blue) / Math.max(gray, TINY),
    );
  }
}

/** Colours a picture strip by strip with the network's answer. */
export class Merge {
  /** @param {Float32Array} ab Lab units, side × side × 2 */
  constructor(width, height, side, ab) {
    this.height = height;
    this.side = side;
    this.ab = ab;
    this.columns = Int32Array.from({ length: width }, (_, x) => Math.floor(position(x, width, side)));
    this.shares = Float32Array.from(
      this.columns,
      (column, x) => position(x, width, side) - column,
    );
    this.a = new Float32Array(side + 1);
    this.b = new Float32Array(side + 1);
    this.row = 0;
  }

  /** Colours the next rows, RGBA, in place; L* and alpha stay. */
  colour(rgba) {
    const { columns, shares, a, b } = this;
    const width = columns.length;
    const [[rx, ry, rz], [gx, gy, gz], [bx, by, bz]] = XYZ_TO_RGB;
    const [whiteX, , whiteZ] = WHITE;
    const inside = new Inside();
    for (let p = 0; p < rgba.length; ) {
      this.#nextLine();
      for (let x = 0; x < width; x++, p += 4) {
        const left = columns[x];
        const share = shares[x];
        const stepY = RED_Y[rgba[p]] + GREEN_Y[rgba[p + 1]] + BLUE_Y[rgba[p + 2]];
        const fy = LAB_F[(stepY + 0.5) | 0];
        const fx = fy + (a[left] + (a[left + 1] - a[left]) * share) / 500;
        const fz = fy - (b[left] + (b[left + 1] - b[left]) * share) / 200;
        const X = STEPS * whiteX * labCurveInverse(fx);
        const Z = STEPS * whiteZ * labCurveInverse(fz);
        const red = rx * X + ry * stepY + rz * Z;
        const green = gx * X + gy * stepY + gz * Z;
        const blue = bx * X + by * stepY + bz * Z;
        if (
          red < LEAST || green < LEAST || blue < LEAST ||
          red > MOST || green > MOST || blue > MOST
        ) {
          inside.bring(stepY / STEPS, fy, fx - fy, fz - fy);
          rgba[p] = byteOf(STEPS * inside.red);
          rgba[p + 1] = byteOf(STEPS * inside.green);
          rgba[p + 2] = byteOf(STEPS * inside.blue);
          continue;
        }
        rgba[p] = byteOf(red);
        rgba[p + 1] = byteOf(green);
        rgba[p + 2] = byteOf(blue);
      }
    }
  }

  // ab of one row of the picture, at the network's columns; the last one is there twice.
  #nextLine() {
    const { side, ab, a, b } = this;
    const y = position(this.row++, this.height, side);
    const above = Math.floor(y);
    const below = Math.min(above + 1, side - 1);
    const share = y - above;
    for (let i = 0; i <= side; i++) {
      const column = Math.min(i, side - 1);
      const p = 2 * (above * side + column);
      const q = 2 * (below * side + column);
      a[i] = ab[p] + (ab[q] - ab[p]) * share;
      b[i] = ab[p + 1] + (ab[q + 1] - ab[p + 1]) * share;
    }
  }
}

// Where sample `i` of `size` lies among `side`, half-pixel centres, clamped.
function position(i, size, side) {
  return Math.min(Math.max((i + 0.5) * (side / size) - 0.5, 0), side - 1);
}

function labCurveInverse(f) {
  return f > LAB_INVERSE_KNEE ? f * f * f : (f - LAB_OFFSET) / LAB_SLOPE;
}

function byteOf(steps) {
  return BYTE_OF_LINEAR[steps <= 0 ? 0 : steps >= STEPS ? STEPS : (steps + 0.5) | 0];
}

/** Turns RGBA grey in place: the same L*, no colour. */
export function desaturate(rgba) {
  for (let p = 0; p < rgba.length; p += 4) {
    const grey = byteOf(RED_Y[rgba[p]] + GREEN_Y[rgba[p + 1]] + BLUE_Y[rgba[p + 2]]);
    rgba[p] = rgba[p + 1] = rgba[p + 2] = grey;
  }
}
