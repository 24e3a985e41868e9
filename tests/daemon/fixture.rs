//! GGUF files made for tests: random weights in a chosen architecture, with the demo model's own
//! vocabulary, and such files broken on purpose.

use std::fs;
use std::path::{Path, PathBuf};

mod shape;

pub use self::shape::{Experts, Shape};

/// The demo model's file.
pub fn demo_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/demo-model/demo.gguf")
}

/// A GGUF file in parts.
pub struct Gguf {
    /// Keys and their values as they stand in the file, type first.
    entries: Vec<(String, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

struct Tensor {
    name: String,
    /// The length of a row first, as the format has it.
    sides: Vec<u64>,
    /// ggml's number of the type, and the weights in it.
    kind: u32,
    weights: Vec<u8>,
}

fn f32s(weights: impl IntoIterator<Item = f32>) -> Vec<u8> {
    weights.into_iter().flat_map(f32::to_le_bytes).collect()
}

const U32: u32 = 4;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
const ALIGNMENT: usize = 32;
const TOKENS: &str = "tokenizer.ggml.tokens";

impl Gguf {
    /// The demo model's tokenizer and template, and no weights.
    pub fn vocabulary() -> Self {
        let bytes = fs::read(demo_path()).unwrap();
        let mut input = Input { bytes: &bytes, at: 16 };
        let n_entries = input.u64();
        let mut entries = Vec::new();
        for _ in 0..n_entries {
            let key = input.text();
            let start = input.at;
            let kind = input.u32();
            input.skip_value(kind);
            entries.push((key, bytes[start..input.at].to_vec()));
        }
        entries.retain(|(key, _)| key.starts_with("tokenizer."));
        Self { entries, tensors: Vec::new() }
    }

    /// A small model of `arch` (`llama` or `qwen2`) with random weights: three layers, grouped
    /// attention, an output matrix of its own.
    pub fn random(arch: &'static str, seed: u64) -> Self {
        Shape::small(arch).gguf(seed)
    }

    /// The demo model itself, weights and all, as the bytes of a file with one entry changed.
    pub fn demo_with(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        let bytes = fs::read(demo_path()).unwrap();
        let mut input = Input { bytes: &bytes, at: 8 };
        let (n_tensors, n_entries) = (input.u64(), input.u64());
        let mut gguf = Self { entries: Vec::new(), tensors: Vec::new() };
        for _ in 0..n_entries {
            let key = input.text();
            let start = input.at;
            let kind = input.u32();
            input.skip_value(kind);
            gguf.entries.push((key, bytes[start..input.at].to_vec()));
        }
        let start = input.at;
        for _ in 0..n_tensors {
            input.text();
            let n_dims = input.u32() as usize;
            input.at += n_dims * 8 + 4 + 8;
        }
        let tensors = &bytes[start..input.at];
        let weights = &bytes[input.at.next_multiple_of(ALIGNMENT)..];
        gguf.set(key, kind, value);
        let mut out = gguf.bytes();
        out[8..16].copy_from_slice(&n_tensors.to_le_bytes());
        out.extend_from_slice(tensors);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend_from_slice(weights);
        out
    }

    /// Leaves out the entries whose key begins with `key`.
    pub fn without(mut self, key: &str) -> Self {
        self.entries.retain(|(name, _)| !name.starts_with(key));
        self
    }

    pub fn set_text(&mut self, key: &str, text: &str) {
        let mut value = (text.len() as u64).to_le_bytes().to_vec();
        value.extend_from_slice(text.as_bytes());
        self.set(key, TEXT, &value);
    }

    pub fn set_bool(&mut self, key: &str, is: bool) {
        self.set(key, BOOL, &[is.into()]);
    }

    pub fn set_f32(&mut self, key: &str, value: f32) {
        self.set(key, F32, &value.to_le_bytes());
    }

    /// An array of numbers, one for each layer.
    pub fn set_numbers(&mut self, key: &str, values: &[u32]) {
        let mut raw = U32.to_le_bytes().to_vec();
        raw.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| raw.extend(value.to_le_bytes()));
        self.set(key, ARRAY, &raw);
    }

    /// An array of yes and no, one for each layer.
    pub fn set_bools(&mut self, key: &str, values: &[bool]) {
        let mut raw = BOOL.to_le_bytes().to_vec();
        raw.extend((values.len() as u64).to_le_bytes());
        raw.extend(values.iter().map(|&value| u8::from(value)));
        self.set(key, ARRAY, &raw);
    }

    /// Adds `n` unused tokens, each `weight` times as likely as token 300 is.
    pub fn pad_vocabulary(&mut self, n: usize, weight: f32) {
        const LIKE: usize = 300;
        const UNUSED: i32 = 5;
        self.change_tokens(|tokens| {
            tokens.extend((0..n).map(|i| format!("[PAD{i}]").into_bytes()))
        });
        for (key, value) in [
            ("tokenizer.ggml.scores", 0f32.to_le_bytes()),
            ("tokenizer.ggml.token_type", UNUSED.to_le_bytes()),
        ] {
            let (_, raw) = self.entries.iter_mut().find(|(name, _)| name == key).unwrap();
            let len = u64::from_le_bytes(raw[8..16].try_into().unwrap()) + n as u64;
            raw[8..16].copy_from_slice(&len.to_le_bytes());
            raw.extend(value.repeat(n));
        }
        let of_tokens = |tensor: &&mut Tensor| {
            ["token_embd.weight", "output.weight"].contains(&tensor.name.as_str())
        };
        for tensor in self.tensors.iter_mut().filter(of_tokens) {
            let bytes = tensor.sides[0] as usize * 4;
            let row = tensor.weights[LIKE * bytes..][..bytes].to_vec();
            let row = row.chunks(4).map(|weight| f32::from_le_bytes(weight.try_into().unwrap()));
            tensor.weights.extend(f32s(row.map(|like| like * weight)).repeat(n));
            tensor.sides[1] += n as u64;
        }
    }

    /// The texts of the tokens, changed.
    pub fn change_tokens(&mut self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let (_, raw) = self.entries.iter().find(|(key, _)| key == TOKENS).unwrap();
        let mut input = Input { bytes: raw, at: 8 };
        let n = input.u64();
        let mut tokens = (0..n).map(|_| input.text().into_bytes()).collect();
        change(&mut tokens);
        let mut value = TEXT.to_le_bytes().to_vec();
        value.extend((tokens.len() as u64).to_le_bytes());
        for token in &tokens {
            value.extend((token.len() as u64).to_le_bytes());
            value.extend(token);
        }
        self.set(TOKENS, ARRAY, &value);
    }

    pub fn set_u32(&mut self, key: &str, value: u32) {
        self.set(key, U32, &value.to_le_bytes());
    }

    pub fn set(&mut self, key: &str, kind: u32, value: &[u8]) {
        let raw = [&kind.to_le_bytes(), value].concat();
        self.entries.retain(|(name, _)| name != key);
        self.entries.push((key.to_owned(), raw));
    }

    fn add_vector(&mut self, name: &str, n: u64, weight: f32) {
        let weights = f32s(vec![weight; n as usize]);
        self.tensors.push(Tensor { name: name.to_owned(), sides: vec![n], kind: 0, weights });
    }

    /// Fills a tensor with zeros of another type, of which `width` take `size` bytes; `false` where
    /// its rows are no multiple of that.
    pub fn set_type(&mut self, name: &str, kind: u32, width: u64, size: u64) -> bool {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let n: u64 = tensor.sides.iter().product();
        tensor.kind = kind;
        tensor.weights = vec![0; (n / width * size) as usize];
        tensor.sides[0].is_multiple_of(width)
    }

    /// Gives the matrices of all layers other weights, of four bits, which ggml computes from copies in
    /// another order where the processor has AVX2.
    pub fn pack_layers(&mut self, seed: u64) {
        const Q4_0: u32 = 2;
        // 32 weights: a scale of 2⁻⁶ as a 16-bit float, and half a byte each.
        const SCALE: [u8; 2] = [0x00, 0x24];
        let mut random = Random(seed);
        let is_matrix =
            |tensor: &&mut Tensor| tensor.name.starts_with("blk.") && tensor.sides.len() > 1;
        for tensor in self.tensors.iter_mut().filter(is_matrix) {
            let n_blocks = tensor.sides.iter().product::<u64>() / 32;
            tensor.kind = Q4_0;
            tensor.weights.clear();
            for _ in 0..n_blocks {
                tensor.weights.extend(SCALE);
                tensor.weights.extend(random.bits().to_le_bytes());
                tensor.weights.extend(random.bits().to_le_bytes());
            }
        }
    }

    /// Has the header say that a tensor has these sides; its weights stay.
    pub fn claim_sides(&mut self, name: &str, sides: &[u64]) {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        tensor.sides = sides.to_vec();
    }

    fn n_vocab(&self) -> u64 {
        let (_, raw) = self.entries.iter().find(|(key, _)| key == TOKENS).unwrap();
        u64::from_le_bytes(raw[8..16].try_into().unwrap())
    }

    /// Writes the model as two files into `folder`; the path of the first.
    pub fn write_split(mut self, folder: &Path, stem: &str) -> PathBuf {
        const U16: u32 = 2;
        const I32: u32 = 5;
        let n_tensors = self.tensors.len() as i32;
        let mut rest = Self { entries: Vec::new(), tensors: self.tensors.split_off(8) };
        for (no, file) in [(0u16, &mut self), (1, &mut rest)] {
            file.set("split.no", U16, &no.to_le_bytes());
            file.set("split.count", U16, &2u16.to_le_bytes());
            file.set("split.tensors.count", I32, &n_tensors.to_le_bytes());
        }
        rest.write(folder, &format!("{stem}-00002-of-00002.gguf"));
        self.write(folder, &format!("{stem}-00001-of-00002.gguf"))
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        for (key, raw) in &self.entries {
            text(&mut out, key);
            out.extend_from_slice(raw);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            text(&mut out, &tensor.name);
            out.extend((tensor.sides.len() as u32).to_le_bytes());
            tensor.sides.iter().for_each(|side| out.extend(side.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += tensor.weights.len().next_multiple_of(ALIGNMENT);
        }
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
            out.extend_from_slice(&tensor.weights);
        }
        out
    }

    /// Writes the file into `folder`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// Reads the metadata of a file that is known to be sound.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn u32(&mut self) -> u32 {
        self.at += 4;
        u32::from_le_bytes(self.bytes[self.at - 4..self.at].try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        self.at += 8;
        u64::from_le_bytes(self.bytes[self.at - 8..self.at].try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let n = self.u64() as usize;
        self.at += n;
        String::from_utf8(self.bytes[self.at - n..self.at].to_vec()).unwrap()
    }

    fn skip_value(&mut self, kind: u32) {
        match kind {
            TEXT => _ = self.text(),
            ARRAY => {
                let kind = self.u32();
                for _ in 0..self.u64() {
                    self.skip_value(kind);
                }
            }
            0 | 1 | 7 => self.at += 1,
            2 | 3 => self.at += 2,
            U32 | 5 | F32 => self.at += 4,
            _ => self.at += 8,
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same weights everywhere.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// About normal, by the sum of twelve uniform numbers.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}
