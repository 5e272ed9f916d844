// An invocation owns four rows of a tile.
const OWN: u32 = 4u;
alias Rows = vec4<f32>;
