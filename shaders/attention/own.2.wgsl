// An invocation owns two rows of a tile: what it holds of four would not fit a GPU with few registers.
const OWN: u32 = 2u;
alias Rows = vec2<f32>;
