/** Colours as data: the heatmap's perceptually uniform scale, and one colour a site by depth. Pure. */

export type Colour = readonly [red: number, green: number, blue: number];

/** Which way the page is lit. Outliers glow on dark ground and are ink on light ground, so the scale runs the other way there. */
export type Ground = 'dark' | 'light';

/** Sixteen stops of "inferno" and "magma" (S. van der Walt, N. Smith; matplotlib, CC0), whose lightness rises evenly from black. */
const stops: Readonly<Record<Ground, readonly Colour[]>> = {
  dark: parseStops(
    '000004 0c0826 240c4f 420a68 5d126e 781c6d 932667 ae305c c73e4c dd513a ed6925 f8850f fca50a fac62d f2e661 fcffa4',
  ),
  light: parseStops(
    '000004 0b0924 20114b 3b0f70 57157e 721f81 8c2981 a8327d c43c75 de4968 f1605d fa7f5e fe9f6d febf84 fddea0 fcfdbf',
  ),
};

/** The heatmap's colour at a position from 0 (quiet) to 1 (worst). */
export function heatColour(position: number, ground: Ground): Colour {
  // The dark ends are left out: black would be a hole in the dark page, and hard to tell from the next shades on the light one.
  return between(stops[ground], ground === 'dark' ? 0.07 + 0.93 * position : 1 - 0.92 * position);
}

/** Values that are no numbers get colours that the scale does not hold. */
export const notANumberColour: Readonly<Record<Ground, Colour>> = { dark: [0, 214, 230], light: [0, 150, 170] };
export const infinityColour: Readonly<Record<Ground, Colour>> = { dark: [64, 224, 128], light: [10, 140, 70] };

/** The colour of a site's line by its depth, 0 (first) to 1 (last): even in lightness, blue at the start, rose at the end. */
export function depthColour(depth: number, ground: Ground): Colour {
  const hue = 235 + 125 * depth;
  return ground === 'dark'
    ? fromOklch(0.62 + 0.14 * depth, 0.09 + 0.06 * depth, hue)
    : fromOklch(0.66 - 0.14 * depth, 0.1 + 0.07 * depth, hue);
}

export function toCss([red, green, blue]: Colour): string {
  return `rgb(${red} ${green} ${blue})`;
}

/** CIE lightness, 0 to 100: what "perceptually uniform" is checked by. */
export function lightness(colour: Colour): number {
  const [red, green, blue] = colour.map((channel) => toLinear(channel / 255)) as [number, number, number];
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.008856 ? 116 * Math.cbrt(luminance) - 16 : 903.3 * luminance;
}

function between(stops: readonly Colour[], position: number): Colour {
  const place = Math.min(1, Math.max(0, position)) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const [start, end] = [stops[index] as Colour, stops[index + 1] as Colour];
  const mix = (channel: 0 | 1 | 2): number =>
    Math.round(start[channel] + (end[channel] - start[channel]) * (place - index));
  return [mix(0), mix(1), mix(2)];
}

function parseStops(text: string): Colour[] {
  return text.split(' ').map(fromHexadecimal);
}

function fromHexadecimal(text: string): Colour {
  const number = Number.parseInt(text, 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** Björn Ottosson's OKLCh: lightness 0 to 1, chroma, hue in degrees. */
function fromOklch(light: number, chroma: number, hue: number): Colour {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const middle = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const channels = [
    4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
    -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
    -0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short,
  ];
  return channels.map((channel) =>
    Math.round(255 * fromLinear(Math.min(1, Math.max(0, channel)))),
  ) as unknown as Colour;
}

function toLinear(channel: number): number {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}

function fromLinear(channel: number): number {
  return channel <= 0.0031308 ? 12.92 * channel : 1.055 * channel ** (1 / 2.4) - 0.055;
}
