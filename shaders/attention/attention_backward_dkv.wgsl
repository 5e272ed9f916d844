// dv = Σ_i p do,  dk = scale · Σ_i ds q,  ds = p · (do · v + map_grad - delta),  summed over the query heads of a group.
//
// How a workgroup shares the work, `attend_backward`, is a module.
@group(0) @binding(7) var<storage, read_write> dkv: array<Elem4>; // (2, batch, seq_kv, kv_heads, head_dim): dk, dv

// Stores vector d of the gradient by key j, with the strays among the queries from rows.x to rows.y that see it.
fn store_by_key(place: Place, j: u32, d: u32, dk: vec4<f32>, rows: vec2<u32>) {
    var result = dk;
    if (j < key_end(place.b)) {
        for (var i = rows.x; i < rows.y; i++) {
            for (var h = place.kv_head * place.group; h < (place.kv_head + 1u) * place.group; h++) {
                if (sees(place.b, h, i, j)) {
                    result += strays_of(widen4(q[q_at(place.b, i, h) + d]));
                }
            }
        }
    }
    dkv[kv_at(place.b, j, place.kv_head) + d] = narrow4(result);
}

// The same of the gradient by its value, with the strays among the gradients of results.
fn store_by_value(place: Place, j: u32, d: u32, dv: vec4<f32>, rows: vec2<u32>) {
    var result = dv;
    if (UPSTREAM && j < key_end(place.b)) {
        for (var i = rows.x; i < rows.y; i++) {
            for (var h = place.kv_head * place.group; h < (place.kv_head + 1u) * place.group; h++) {
                if (sees(place.b, h, i, j)) {
                    result += strays_of(widen4(d_o[q_at(place.b, i, h) + d]));
                }
            }
        }
    }
    let values = params.batch * params.seq_kv * params.kv_heads * HEAD_VEC;
    dkv[values + kv_at(place.b, j, place.kv_head) + d] = narrow4(result);
}

fn store_gradients(place: Place, j: u32, d: u32, dk: vec4<f32>, dv: vec4<f32>, rows: vec2<u32>) {
    store_by_key(place, j, d, dk, rows);
    store_by_value(place, j, d, dv, rows);
}

@compute @workgroup_size(WG_SIZE)
fn attention_backward_dkv(@builtin(workgroup_id) wg: vec3<u32>, invocation: Invocation) {
    attend_backward(of_whole(wg), invocation);
}
