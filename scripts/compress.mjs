// Writes compressed forms (.br and .gz) beside the files of a folder that get smaller by them:
//
//   node scripts/compress.mjs web/dist
//
// The server embeds these forms (ADR-0052) and compresses nothing itself. With --check it only
// says, by its exit status, whether this Node.js is new enough to build the page.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const COMPRESSED = /\.(br|gz)$/;

function files(folder) {
    return readdirSync(folder).flatMap((name) => {
        const path = join(folder, name);
        return statSync(path).isDirectory() ? files(path) : [path];
    });
}

function brotli(content) {
    return brotliCompressSync(content, {
        params: {
            [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
            [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
        },
    });
}

const folder = process.argv[2];
if (folder === "--check") {
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 18 || (major === 18 && minor >= 13) ? 0 : 1);
}
if (folder === undefined) {
    console.error("usage: node scripts/compress.mjs FOLDER");
    process.exit(64);
}
let total = 0;
for (const path of files(folder).filter((path) => !COMPRESSED.test(path))) {
    const content = readFileSync(path);
    const forms = { ".br": brotli(content), ".gz": gzipSync(content, { level: 9 }) };
    for (const [extension, form] of Object.entries(forms)) {
        if (form.length < content.length) writeFileSync(path + extension, form);
    }
    total += Math.min(content.length, forms[".br"].length);
}
console.log(`${folder}: ${(total / 1024).toFixed(0)} KiB compressed`);
