use burn::nn::Linear;
use burn::tensor::Tensor;

/// `x · W + b` where `W` lies `[in, out]`.
pub(crate) fn project(x: Tensor<2>, linear: &Linear) -> Tensor<2> {
    linear.forward(x)
}

/// `x · Wᵀ` where `W` lies `[out, in]`.
pub(crate) fn project_rows(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    x.matmul(weight.transpose())
}
