//! Writes GGUF files byte by byte: independent of weft's own writer.

/// A file in the making.
pub(crate) struct GgufFile {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<(String, Vec<u64>)>,
}

const ALIGNMENT: usize = 32;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

impl GgufFile {
    /// The keys and tensors of the smallest Llama that opens; its tensors are zeros.
    pub(crate) fn smallest() -> Self {
        let mut file = Self {
            keys: Vec::new(),
            key_count: 0,
            tensors: Vec::new(),
        };
        file.string("general.architecture", "llama");
        for (key, value) in [
            ("embedding_length", 2),
            ("feed_forward_length", 2),
            ("block_count", 1),
            ("attention.head_count", 1),
            ("context_length", 16),
        ] {
            file.u32(&format!("llama.{key}"), value);
        }
        file.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
        file.tensor("token_embd.weight", &[2, 4]);
        file.tensor("output_norm.weight", &[2]);
        for name in ["attn_norm", "ffn_norm"] {
            file.tensor(&format!("blk.0.{name}.weight"), &[2]);
        }
        for name in [
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
        ] {
            file.tensor(&format!("blk.0.{name}.weight"), &[2, 2]);
        }
        file
    }

    pub(crate) fn string(&mut self, key: &str, value: &str) {
        self.key(key, STRING);
        put_string(&mut self.keys, value);
    }

    pub(crate) fn u32(&mut self, key: &str, value: u32) {
        self.key(key, U32);
        self.keys.extend(value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, key: &str, value: f32) {
        self.key(key, F32);
        self.keys.extend(value.to_le_bytes());
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.key(key, BOOL);
        self.keys.push(u8::from(value));
    }

    pub(crate) fn strings(&mut self, key: &str, values: &[&str]) {
        self.array(key, STRING, values.len());
        for value in values {
            put_string(&mut self.keys, value);
        }
    }

    pub(crate) fn i32s(&mut self, key: &str, values: &[i32]) {
        self.array(key, I32, values.len());
        self.keys
            .extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub(crate) fn f32s(&mut self, key: &str, values: &[f32]) {
        self.array(key, F32, values.len());
        self.keys
            .extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// A tensor of 32-bit floats.
    pub(crate) fn tensor(&mut self, name: &str, sizes: &[u64]) {
        self.tensors.push((name.to_owned(), sizes.to_vec()));
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend(self.key_count.to_le_bytes());
        file.extend(&self.keys);
        let mut offset = 0_usize;
        for (name, sizes) in &self.tensors {
            put_string(&mut file, name);
            file.extend((sizes.len() as u32).to_le_bytes());
            file.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            file.extend(0_u32.to_le_bytes());
            file.extend((offset as u64).to_le_bytes());
            let bytes = 4 * sizes.iter().product::<u64>() as usize;
            offset += bytes.next_multiple_of(ALIGNMENT);
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT) + offset, 0);
        file
    }

    fn key(&mut self, key: &str, value_type: u32) {
        put_string(&mut self.keys, key);
        self.keys.extend(value_type.to_le_bytes());
        self.key_count += 1;
    }

    fn array(&mut self, key: &str, element: u32, count: usize) {
        self.key(key, ARRAY);
        self.keys.extend(element.to_le_bytes());
        self.keys.extend((count as u64).to_le_bytes());
    }
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
