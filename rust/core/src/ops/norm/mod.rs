//! Normalisations. Layer, root-mean-square and group norm are one kernel over rows; batch norm is one over
//! channels. The fused ops also give the statistics that their gradient reads.

mod channels;
mod compose;
mod fused;
mod gpu;
pub(crate) mod lanes;
mod moments;
mod rows;
#[cfg(test)]
mod tests;

use super::OpDef;

pub static OPS: &[&OpDef] = &[
    &LAYER_NORM,
    &RMS_NORM,
    &GROUP_NORM,
    &INSTANCE_NORM,
    &BATCH_NORM,
    &fused::LAYER,
    &fused::RMS,
    &fused::GROUP,
    &fused::BATCH,
    &fused::BACKWARD,
    &fused::NORMALIZE,
];

pub static LAYER_NORM: OpDef = OpDef::composed(
    "layer_norm",
    "input: Tensor, normalized_shape: int[], weight: Tensor? = None, bias: Tensor? = None, eps: float = 1e-5",
    "(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions",
    compose::layer_norm,
)
.private();

pub static RMS_NORM: OpDef = OpDef::composed(
    "rms_norm",
    "input: Tensor, normalized_shape: int[], weight: Tensor? = None, eps: float? = None",
    "x / sqrt(mean(x^2) + eps) * weight over the last dimensions; eps None is the dtype's epsilon",
    compose::rms_norm,
)
.private();

pub static GROUP_NORM: OpDef = OpDef::composed(
    "group_norm",
    "input: Tensor, num_groups: int, weight: Tensor? = None, bias: Tensor? = None, eps: float = 1e-5",
    "Each sample normalised over groups of channels; weight and bias are per channel",
    compose::group_norm,
)
.private();

pub static INSTANCE_NORM: OpDef = OpDef::composed(
    "instance_norm",
    "input: Tensor, running_mean: Tensor? = None, running_var: Tensor? = None, weight: Tensor? = None, \
     bias: Tensor? = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5",
    "Each channel of each sample normalised over its positions; running statistics are updated in place",
    compose::instance_norm,
)
.private();

pub static BATCH_NORM: OpDef = OpDef::composed(
    "batch_norm",
    "input: Tensor, running_mean: Tensor?, running_var: Tensor?, weight: Tensor? = None, bias: Tensor? = None, \
     training: bool = False, momentum: float = 0.1, eps: float = 1e-5",
    "(x - mean) / sqrt(var + eps) * weight + bias per channel, with the batch's statistics in training, when \
     the running ones are updated in place",
    compose::batch_norm,
)
.private();
