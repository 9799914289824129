//! Arrays with a name, a shape and an element type: what a model takes and gives.

/// A dense array, row-major.
///
/// # Examples
/// ```
/// use headstart_input::{Data, Tensor};
///
/// let a = Tensor::new("ids", vec![3], Data::I64(vec![7, 8, 9]));
/// let b = Tensor::new("ids", vec![3], Data::I64(vec![1, 2, 3]));
/// let batch = Tensor::stack([&a, &b]).expect("they are alike");
/// assert_eq!((batch.shape.as_slice(), batch.data.len()), (&[2, 3][..], 6));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name of the model's input or output that it is for.
    pub name: String,
    /// Length of each dimension; the product is the number of elements.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

/// Elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `uint8`.
    U8(Vec<u8>),
    /// `int32`.
    I32(Vec<i32>),
    /// `int64`.
    I64(Vec<i64>),
    /// `float32`.
    F32(Vec<f32>),
}

impl Tensor {
    /// A tensor of some elements.
    ///
    /// # Panics
    /// When the shape is not that of so many elements.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: Vec<usize>, data: Data) -> Self {
        let n_elements = shape.iter().try_fold(1_usize, |n, it| n.checked_mul(*it));
        assert_eq!(n_elements, Some(data.len()), "elements of the shape {shape:?}");
        Self { name: name.into(), shape, data }
    }

    /// Tensors of several inputs as one of a batch: `(…)` of each becomes `(n, …)`.
    ///
    /// `None` for no tensors, and for tensors of different names, shapes or element types.
    #[must_use]
    pub fn stack<'a>(
        tensors: impl IntoIterator<Item = &'a Self, IntoIter: ExactSizeIterator>,
    ) -> Option<Self> {
        let mut tensors = tensors.into_iter();
        let n = tensors.len();
        let Self { name, shape, data } = tensors.next()?;
        let mut data = data.with_room(n);
        for tensor in tensors {
            if tensor.name != *name || tensor.shape != *shape {
                return None;
            }
            match (&mut data, &tensor.data) {
                (Data::U8(all), Data::U8(more)) => all.extend_from_slice(more),
                (Data::I32(all), Data::I32(more)) => all.extend_from_slice(more),
                (Data::I64(all), Data::I64(more)) => all.extend_from_slice(more),
                (Data::F32(all), Data::F32(more)) => all.extend_from_slice(more),
                _ => return None,
            }
        }
        Some(Self { name: name.clone(), shape: [&[n], shape.as_slice()].concat(), data })
    }

    /// A vector of integers, filled up to a length; as it is where it has that.
    pub(crate) fn filled(&self, length: usize, value: i64) -> Self {
        let mut filled = self.clone();
        match &mut filled.data {
            Data::I64(it) => it.resize(length.max(it.len()), value),
            Data::I32(it) => it.resize(length.max(it.len()), i32::try_from(value).unwrap_or(0)),
            Data::U8(_) | Data::F32(_) => {}
        }
        filled.shape = vec![filled.data.len()];
        filled
    }

    /// Bytes of the elements.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        match &self.data {
            Data::U8(it) => it.len(),
            Data::I32(it) => 4 * it.len(),
            Data::I64(it) => 8 * it.len(),
            Data::F32(it) => 4 * it.len(),
        }
    }
}

impl Data {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(it) => it.len(),
            Self::I32(it) => it.len(),
            Self::I64(it) => it.len(),
            Self::F32(it) => it.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type, by ONNX's and NumPy's name.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::U8(_) => "uint8",
            Self::I32(_) => "int32",
            Self::I64(_) => "int64",
            Self::F32(_) => "float32",
        }
    }

    /// A copy with room for as much `n` times.
    fn with_room(&self, n: usize) -> Self {
        fn copy<T: Copy>(values: &[T], n: usize) -> Vec<T> {
            let mut copy = Vec::with_capacity(n * values.len());
            copy.extend_from_slice(values);
            copy
        }
        match self {
            Self::U8(it) => Self::U8(copy(it, n)),
            Self::I32(it) => Self::I32(copy(it, n)),
            Self::I64(it) => Self::I64(copy(it, n)),
            Self::F32(it) => Self::F32(copy(it, n)),
        }
    }
}
