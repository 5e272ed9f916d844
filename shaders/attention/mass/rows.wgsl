// One invocation owns ROWS keys and passes over the chosen rows of every chosen head, a tile of WG_SIZE at a time, which
// the invocations hand round.
fn receive(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let first = wg.x * WG_SIZE * ROWS;
    let last = min(first + WG_SIZE * ROWS, params.seq_kv) - 1u;
    let column0 = first + lane;
    let b = wg.y;
    let end = key_end(b);
    let rows = givers(b, first, last);
    var received: array<Received, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        received[r] = nothing();
    }
    for (var h = 0u; h < params.heads; h++) {
        if (tables[params.heads_at + h] == 0.0) {
            continue;
        }
        var key: array<array<vec4<f32>, HEAD_VEC>, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            let j = min(column0 + r * WG_SIZE, params.seq_kv - 1u);
            let k0 = kv_at(b, j, h / GROUP);
            for (var d = 0u; d < HEAD_VEC; d++) {
                key[r][d] = widen4(k[k0 + d]) * params.scale;
            }
        }
        for (var i0 = rows.x; i0 < rows.y; i0 += WG_SIZE) {
            let last_row = min(i0 + WG_SIZE, rows.y) - 1u;
            if (none_give(i0, last_row, first, last)) {
                continue;
            }
            let mine = q_at(b, min(i0 + lane, last_row), h);
            var score: array<array<f32, WG_SIZE>, ROWS>;
            for (var d = 0u; d < HEAD_VEC; d++) {
                multiply_round(&score, &key, d, widen4(q[mine + d]));
            }
            for (var r = 0u; r < ROWS; r++) {
                let j = min(column0 + r * WG_SIZE, params.seq_kv - 1u);
                var sum = 0.0;
                for (var t = 0u; t < WG_SIZE; t++) {
                    let i = min(i0 + t, last_row);
                    let weight = weight_of(h, i);
                    let chosen = i0 + t <= last_row && weight != 0.0;
                    let entry = entry_of(b, h, i, j, score[r][t], j < end);
                    if (MASS_MAX) {
                        if (chosen) {
                            received[r] = with_entry(received[r], entry, h * params.seq_q + i);
                        }
                    } else {
                        sum += select(0.0, weight * entry, chosen);
                    }
                }
                if (!MASS_MAX) {
                    received[r] = with_sum(received[r], sum);
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let column = column0 + r * WG_SIZE;
        if (column < params.seq_kv) {
            store_received(b, column, received[r]);
        }
    }
}
