// An invocation owns two rows of a tile: what it holds of four would not fit a GPU with few registers.
const OWN: u32 = 2u;
alias Rows = vec2<f32>;
// Whether two results are summed one after the other, where their sums would not fit its registers together.
const APART: bool = true;
