use burn::tensor::Tensor;

/// Keys and values of the tokens that were seen, bounded by a number of positions.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
    len: usize,
    capacity: usize,
}

/// There is no room for as many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} tokens behind {len} exceed the context of {capacity}")]
pub struct CacheFull {
    /// Tokens that were to be added.
    pub wanted: usize,
    /// Tokens that are there.
    pub len: usize,
    /// Tokens that fit.
    pub capacity: usize,
}

impl KvCache {
    /// An empty cache for a model of `layers` blocks and at most `capacity` tokens.
    pub fn new(layers: usize, capacity: usize) -> KvCache {
        KvCache {
            layers: vec![None; layers],
            len: 0,
            capacity,
        }
    }

    /// Tokens that it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.layers.fill(None);
        self.len = 0;
    }

    /// The position of the first of `count` new tokens, if there is room for all.
    pub(crate) fn reserve(&self, count: usize) -> Result<usize, CacheFull> {
        if count > self.capacity - self.len {
            return Err(CacheFull {
                wanted: count,
                len: self.len,
                capacity: self.capacity,
            });
        }
        Ok(self.len)
    }

    /// Adds one layer's keys and values `[1, heads, time, width]`; returns all of that layer.
    pub(crate) fn extend(
        &mut self,
        layer: usize,
        k: Tensor<4>,
        v: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let all = match self.layers[layer].take() {
            Some((old_k, old_v)) => (
                Tensor::cat(vec![old_k, k], 2),
                Tensor::cat(vec![old_v, v], 2),
            ),
            None => (k, v),
        };
        self.layers[layer] = Some(all.clone());
        all
    }

    /// Counts what was added to every layer.
    pub(crate) fn advance(&mut self, count: usize) {
        self.len += count;
    }
}
