/** Makes pictures small: PNG with a palette of the most frequent colours. */

import { deflateSync } from "node:zlib";

import type { Page } from "@playwright/test";

/** `png` with at most 256 colours, the same for the same picture. The browser of `page` decodes it. */
export async function withPalette(page: Page, png: Buffer): Promise<Buffer> {
    const { width, height, base64 } = await page.evaluate(decode, png.toString("base64"));
    const rgba = Buffer.from(base64, "base64");
    const { palette, indexes } = quantize(rgba);
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width, 0);
    header.writeUInt32BE(height, 4);
    // 8 bits for each pixel, which is an index into the palette.
    header.set([8, 3, 0, 0, 0], 8);
    const rows = Buffer.alloc((width + 1) * height);
    for (let y = 0; y < height; y++) {
        indexes.copy(rows, y * (width + 1) + 1, y * width, (y + 1) * width);
    }
    return Buffer.concat([
        Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
        chunk("IHDR", header),
        chunk("PLTE", Buffer.from(palette.flat())),
        chunk("IDAT", deflateSync(rows, { level: 9 })),
        chunk("IEND", Buffer.alloc(0)),
    ]);
}

/** Runs in the browser: the pixels of a PNG, four bytes each. */
async function decode(png: string) {
    const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    // More arguments at once would be too many for the call.
    const slice = 0x8000;
    let text = "";
    for (let i = 0; i < data.length; i += slice) {
        text += String.fromCharCode(...data.subarray(i, i + slice));
    }
    return { width, height, base64: btoa(text) };
}

type Color = [number, number, number];

/** The most frequent colours, and for each pixel the index of the nearest one. */
function quantize(rgba: Buffer): { palette: Color[]; indexes: Buffer } {
    const counts = new Map<number, number>();
    for (let i = 0; i < rgba.length; i += 4) {
        const color = rgba.readUIntBE(i, 3);
        counts.set(color, (counts.get(color) ?? 0) + 1);
    }
    const byCount = [...counts].sort(([a, m], [b, n]) => n - m || a - b);
    const palette = byCount
        .slice(0, 256)
        .map(([color]): Color => [color >> 16, (color >> 8) & 255, color & 255]);
    const indexOf = new Map([...counts.keys()].map((color) => [color, nearest(palette, color)]));
    const indexes = Buffer.alloc(rgba.length / 4);
    for (let i = 0; i < indexes.length; i++) indexes[i] = indexOf.get(rgba.readUIntBE(4 * i, 3))!;
    return { palette, indexes };
}

function nearest(palette: Color[], color: number): number {
    let best = 0;
    let least = Infinity;
    palette.forEach(([r, g, b], index) => {
        const distance =
            (r - (color >> 16)) ** 2 + (g - ((color >> 8) & 255)) ** 2 + (b - (color & 255)) ** 2;
        if (distance < least) [best, least] = [index, distance];
    });
    return best;
}

function chunk(type: string, data: Buffer): Buffer {
    const content = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const check = Buffer.alloc(4);
    check.writeUInt32BE(crc32(content));
    return Buffer.concat([length, content, check]);
}

/** The checksum of a chunk. Node.js has it only since version 22. */
function crc32(data: Buffer): number {
    let crc = ~0;
    for (const byte of data) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc >>> 0;
}
