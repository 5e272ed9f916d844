// y = gelu(x·w + bias), in the form of the module that defines it; `pre` keeps x·w + bias for the gradient.
@group(0) @binding(FACTORS) var<storage, read_write> y: array<ElemPack>; // (m, y_columns)
@group(0) @binding(FACTORS + 1u) var<storage, read> bias: array<Pack>; // (y_columns)
@group(0) @binding(FACTORS + 2u) var<storage, read_write> pre: array<ElemPack>; // (m, y_columns)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    let at = y_at(row, pack);
    // The gelu of what is kept, so that the gradient belongs to the value.
    let stored = narrow(value + bias[column_at(pack)]);
    pre[at] = stored;
    y[at] = narrow(gelu_value(widen(stored)));
}
