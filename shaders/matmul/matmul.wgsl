// y = epilogue(x · op(w)), op(w) = wᵀ for a weight (n, k), w for a weight (k, n).
//
// How a workgroup shares the work, `multiply`, is a module. A sum over many inputs is one of blocks of BLOCK packs, where BLOCK
// is above 0: many equal terms, added one by one to a large sum, lose the same digit each time.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    rows_per_group: u32, // rows that share a gate
    part_inputs: u32, // of the inner size, what a workgroup passes over: all of it or whole packs
    x_inputs: u32, // of a row of x, and the first that the product takes: all but for a piece of a weight
    first_input: u32,
    y_columns: u32, // of a row of the results, and the product's first
    first_column: u32,
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

const FACTORS: u32 = 2u; // bindings before those of the results, which an epilogue declares

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (m, x_inputs)

// From pack x to pack y of the inner size: those of a part.
fn inputs_of_part(part: u32) -> vec2<u32> {
    let first = part * params.part_inputs;
    return min(vec2<u32>(first, first + params.part_inputs), vec2<u32>(params.k)) / PACK;
}

// Where inputs PACK·i.. of a row lie in x.
fn x_at(row: u32, i: u32) -> u32 {
    return (row * params.x_inputs + params.first_input) / PACK + i;
}

// Where the product's columns PACK·pack.. of a row lie in the results; `column_at` in a vector of one row.
fn y_at(row: u32, pack: u32) -> u32 {
    return row * (params.y_columns / PACK) + column_at(pack);
}

fn column_at(pack: u32) -> u32 {
    return params.first_column / PACK + pack;
}

@compute @workgroup_size(WG_SIZE)
fn matmul(@builtin(workgroup_id) wg: vec3<u32>, invocation: Invocation) {
    multiply(of_whole(wg), invocation);
}
