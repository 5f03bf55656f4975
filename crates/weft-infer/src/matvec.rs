//! Matrix products as inference has them: one row against a matrix, again and again. burn's
//! ndarray backend packs the whole matrix for each such product, which costs several times what
//! reading it does; these read it once, front to back, on all threads.
//!
//! Sums are split by the matrix's shape alone, never by the number of threads: the same model
//! says the same on every machine of one kind.

use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::backend::with_numbers;

/// Numbers that one piece of work reads: long enough to be worth handing to another thread,
/// short enough that a busy machine can share them out.
const PIECE_NUMBERS: usize = 1 << 16;

/// Rows from which a product is worth splitting among threads.
const SPLIT_ROWS: usize = 32;

/// Numbers that are summed side by side, so that the compiler can use wide registers.
const LANES: usize = 16;

/// `x · W + b` where `W` lies `[in, out]`.
pub(crate) fn project(x: Tensor<2>, linear: &Linear) -> Tensor<2> {
    let weight = linear.weight.val();
    let y = match x.dims()[0] {
        1 => single(&x, &weight, columns_times).unwrap_or_else(|| x.matmul(weight)),
        _ => split_matmul(x, &weight),
    };
    match &linear.bias {
        Some(bias) => y + bias.val().unsqueeze(),
        None => y,
    }
}

/// `x · Wᵀ` where `W` lies `[out, in]`.
pub(crate) fn project_rows(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    single(&x, &weight, rows_times).unwrap_or_else(|| x.matmul(weight.transpose()))
}

/// The product of one row with a matrix by `kernel`; `None` where the numbers are out of reach.
fn single(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    kernel: fn(&[f32], &[f32]) -> Vec<f32>,
) -> Option<Tensor<2>> {
    if x.dims()[0] != 1 {
        return None;
    }
    let device = x.device();
    let y = with_numbers(x.clone(), |x| {
        with_numbers(weight.clone(), |weight| kernel(x, weight))
    })??;
    let columns = y.len();
    Some(Tensor::from_data(TensorData::new(y, [1, columns]), &device))
}

/// Rows do not meet in a product: each thread takes some. burn would use one thread.
fn split_matmul(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    let rows = x.dims()[0];
    let parts = rayon::current_num_threads().min(rows / SPLIT_ROWS);
    if parts < 2 {
        return x.matmul(weight.clone());
    }
    let products = x
        .chunk(parts, 0)
        .into_par_iter()
        .map(|part| part.matmul(weight.clone()))
        .collect();
    Tensor::cat(products, 0)
}

/// `x · W` where `W` lies `[in, out]`: its rows, each scaled by a number of `x`, are summed.
fn columns_times(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let columns = weight.len() / x.len();
    let rows = (PIECE_NUMBERS / columns).max(4).next_multiple_of(4);
    let sums: Vec<Vec<f32>> = x
        .par_chunks(rows)
        .zip(weight.par_chunks(rows * columns))
        .map(|(x, weight)| weighted_sum(x, weight, columns))
        .collect();
    let mut sums = sums.into_iter();
    let mut total = sums.next().unwrap_or_default();
    for sum in sums {
        total
            .iter_mut()
            .zip(sum)
            .for_each(|(total, sum)| *total += sum);
    }
    total
}

fn weighted_sum(x: &[f32], weight: &[f32], columns: usize) -> Vec<f32> {
    let mut sum = vec![0.0; columns];
    let (fours, rest) = x.as_chunks::<4>();
    let (head, tail) = weight.split_at(fours.len() * 4 * columns);
    for (x, rows) in fours.iter().zip(head.chunks_exact(4 * columns)) {
        let (a, rows) = rows.split_at(columns);
        let (b, rows) = rows.split_at(columns);
        let (c, d) = rows.split_at(columns);
        for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += (x[0] * a + x[1] * b) + (x[2] * c + x[3] * d);
        }
    }
    for (x, row) in rest.iter().zip(tail.chunks_exact(columns)) {
        sum.iter_mut().zip(row).for_each(|(sum, a)| *sum += x * a);
    }
    sum
}

/// `x · Wᵀ` where `W` lies `[out, in]`: each row times `x`.
fn rows_times(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let rows = (PIECE_NUMBERS / x.len()).max(1);
    weight
        .par_chunks(rows * x.len())
        .flat_map_iter(|piece| piece.chunks_exact(x.len()).map(|row| dot(x, row)))
        .collect()
}

fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|index| ((index * 37 + seed * 11) % 23) as f32 - 11.0)
            .collect()
    }

    /// Whole numbers: every order of summing gives the same.
    fn naive(x: &[f32], weight: impl Fn(usize, usize) -> f32, columns: usize) -> Vec<f32> {
        (0..columns)
            .map(|column| {
                x.iter()
                    .enumerate()
                    .map(|(row, x)| x * weight(row, column))
                    .sum()
            })
            .collect()
    }

    // One piece and many, whole lanes and rests.
    const SHAPES: [(usize, usize); 6] = [
        (1, 1),
        (3, 5),
        (64, 160),
        (67, 33),
        (1000, 513),
        (17, 70_000),
    ];

    #[test]
    fn columns_are_summed_as_one_by_one() {
        for (rows, columns) in SHAPES {
            let (x, weight) = (numbers(rows, 1), numbers(rows * columns, 2));
            let expected = naive(&x, |row, column| weight[row * columns + column], columns);
            assert_eq!(columns_times(&x, &weight), expected, "{rows} {columns}");
        }
    }

    #[test]
    fn rows_are_summed_as_one_by_one() {
        for (rows, columns) in SHAPES {
            let (x, weight) = (numbers(rows, 1), numbers(rows * columns, 2));
            let expected = naive(&x, |row, column| weight[column * rows + row], columns);
            assert_eq!(rows_times(&x, &weight), expected, "{rows} {columns}");
        }
    }

    #[test]
    fn a_split_product_is_the_product() {
        let device = crate::Backend::Ndarray.device();
        let tensor = |rows: usize, columns: usize| {
            let data = TensorData::new(numbers(rows * columns, rows), [rows, columns]);
            Tensor::<2>::from_data(data, &device)
        };
        for rows in [1, 31, 64, 133] {
            let (x, weight) = (tensor(rows, 48), tensor(48, 20));
            let whole = x.clone().matmul(weight.clone()).into_data();
            assert_eq!(split_matmul(x, &weight).into_data(), whole, "{rows}");
        }
    }
}
