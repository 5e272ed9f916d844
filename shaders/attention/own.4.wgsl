// An invocation owns four rows of a tile.
const OWN: u32 = 4u;
alias Rows = vec4<f32>;
// Whether two results are summed one after the other, where their sums would not fit its registers together.
const APART: bool = false;
