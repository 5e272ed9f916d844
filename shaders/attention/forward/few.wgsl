// A workgroup owns all rows of a key head, at most ROWS: those of all query heads that share it. Its invocations divide
// the keys of a tile among them, one each, and then the vectors of a value, of which each is read once for all rows; where a
// value has fewer vectors than there are invocations, teams of them divide the keys again. So all have work however few the
// queries are.
alias Rows = f32;

const TEAMS: u32 = max(WG_SIZE / HEAD_VEC, 1u); // that divide the keys
const OWN: u32 = (HEAD_VEC + WG_SIZE - 1u) / WG_SIZE; // vectors of a value that an invocation takes
const PLAYERS: u32 = min(HEAD_VEC, WG_SIZE); // invocations of a team
const SHARERS: u32 = WG_SIZE / ROWS; // invocations that share the softmax of a row
// Tiles of which one sum is taken, where there are many, LONG.
const BLOCK_TILES: u32 = 16u;

var<workgroup> queries: array<vec4<f32>, ROWS * HEAD_VEC>; // and in the end the results of all teams
var<workgroup> scores: array<f32, ROWS * WG_SIZE>; // of a tile; then probabilities up to the factor exp(largest)
var<workgroup> shares: array<f32, WG_SIZE>; // of what the sharers of a row reduce
var<workgroup> factors: array<f32, ROWS>; // by which the results of a row are scaled
var<workgroup> seen: array<u32, WG_SIZE>; // of a tile's keys, a bit for each row that sees it

fn is_seen(row: u32, t: u32) -> bool {
    return (seen[t] & (1u << row)) != 0u;
}

// Results of every row, those vectors of them that an invocation takes.
alias Results = array<array<vec4<f32>, OWN>, ROWS>;

// Scales results, and adds what the tile from key j0 gives.
fn add_values(results: ptr<function, Results>, place: Place, j0: u32, end: u32, lane: u32) {
    for (var r = 0u; r < ROWS; r++) {
        for (var own = 0u; own < OWN; own++) {
            (*results)[r][own] *= factors[r];
        }
    }
    if (lane >= TEAMS * PLAYERS) {
        return;
    }
    for (var t = lane / PLAYERS; t < WG_SIZE; t += TEAMS) {
        let at = kv_at(place.b, min(j0 + t, end - 1u), place.kv_head);
        let seen_by = seen[t];
        for (var own = 0u; own < OWN; own++) {
            let value = widen4(v[at + min(lane % PLAYERS + own * PLAYERS, HEAD_VEC - 1u)]);
            for (var r = 0u; r < ROWS; r++) {
                // What a row does not see must not matter, whatever it holds.
                let term = scores[r * WG_SIZE + t] * value;
                (*results)[r][own] += select(vec4<f32>(), term, (seen_by & (1u << r)) != 0u);
            }
        }
    }
}

fn add_before(sum: ptr<function, Results>, block: ptr<function, Results>) {
    for (var r = 0u; r < ROWS; r++) {
        for (var own = 0u; own < OWN; own++) {
            (*sum)[r][own] += (*block)[r][own];
        }
    }
}

// Adds up what the teams have, in `queries`; for all invocations.
fn gather(results: ptr<function, Results>, lane: u32) {
    for (var team = 0u; team < TEAMS; team++) {
        workgroupBarrier();
        if (lane / PLAYERS == team) {
            for (var r = 0u; r < ROWS; r++) {
                for (var own = 0u; own < OWN; own++) {
                    let d = lane % PLAYERS + own * PLAYERS;
                    let at = r * HEAD_VEC + min(d, HEAD_VEC - 1u);
                    if (d < HEAD_VEC) {
                        queries[at] = select(queries[at], vec4<f32>(), team == 0u) + (*results)[r][own];
                    }
                }
            }
        }
    }
    workgroupBarrier();
}

fn row_max(value: f32, lane: u32, row: u32) -> f32 {
    shares[lane] = value;
    workgroupBarrier();
    var result = value;
    for (var s = 0u; s < SHARERS; s++) {
        result = max(result, shares[row * SHARERS + s]);
    }
    return result;
}

fn row_sum(value: f32, lane: u32, row: u32) -> f32 {
    workgroupBarrier();
    shares[lane] = value;
    workgroupBarrier();
    var result = 0.0;
    for (var s = 0u; s < SHARERS; s++) {
        result += shares[row * SHARERS + s];
    }
    return result;
}

fn attend(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let group = GROUP;
    let place = Place(sequence_of(wg.z), wg.y, group);
    let out = Place(wg.z, wg.y, group);
    let rows = params.seq_q * group;
    let row = lane / SHARERS; // whose softmax the invocation shares
    let first = row * WG_SIZE + lane % SHARERS; // its scores there: this one and every SHARERS-th after it
    for (var n = lane; n < ROWS * HEAD_VEC; n += WG_SIZE) {
        let at = query_at(place, min(n / HEAD_VEC, rows - 1u));
        queries[n] = widen4(q[at + n % HEAD_VEC]) * params.scale;
    }
    let keys = keys_of(0u, params.seq_q - 1u, wg.z);
    let end = keys.y;
    var acc: Results;
    var acc_before: Results; // of earlier blocks
    var largest = LOWEST;
    var sums: Sums;
    var sums_before: Sums; // of earlier blocks
    var tiles = 0u;
    for (var j0 = keys.x; j0 < end; j0 += WG_SIZE) {
        if (mask_hides(0u, params.seq_q - 1u, j0, min(j0 + WG_SIZE, end) - 1u)) {
            continue;
        }
        let j = min(j0 + lane, end - 1u);
        let k0 = kv_at(place.b, j, place.kv_head);
        var score: array<f32, ROWS>;
        workgroupBarrier();
        for (var d = 0u; d < params.head_vec; d++) {
            let key = widen4(k[k0 + d]);
            for (var r = 0u; r < ROWS; r++) {
                score[r] += dot(queries[r * HEAD_VEC + d], key);
            }
        }
        var seen_by = 0u; // a bit for each row
        for (var r = 0u; r < ROWS; r++) {
            let here = min(r, rows - 1u);
            let bias = mask_bias(place.b, place.kv_head * group + here % group, here / group, j);
            let absent = bias <= MASKED || j0 + lane >= end;
            seen_by |= select(1u << r, 0u, absent);
            scores[r * WG_SIZE + lane] = score[r] + select(bias, 0.0, absent);
        }
        seen[lane] = seen_by;
        workgroupBarrier();
        var new_max = largest;
        for (var n = 0u; n < ROWS; n++) {
            let present = is_seen(row, lane % SHARERS + n * SHARERS);
            new_max = max(new_max, select(LOWEST, scores[first + n * SHARERS], present));
        }
        new_max = row_max(new_max, lane, row);
        let fall = fall_of(largest, new_max);
        largest = new_max;
        sums = fallen(sums, fall);
        if (LONG) {
            sums_before = fallen(sums_before, fall);
        }
        if (lane % SHARERS == 0u) {
            factors[row] = exp(fall);
        }
        for (var n = 0u; n < ROWS; n++) {
            let away = scores[first + n * SHARERS] - new_max;
            let present = is_seen(row, lane % SHARERS + n * SHARERS);
            let p = select(0.0, exp_of(away), present);
            sums.total += p;
            if (ENTROPY) {
                sums.weighted += p * select(0.0, max(away, -200.0), present);
            }
            scores[first + n * SHARERS] = p;
        }
        workgroupBarrier();
        add_values(&acc, place, j0, end, lane);
        if (LONG) {
            for (var r = 0u; r < ROWS; r++) {
                for (var own = 0u; own < OWN; own++) {
                    acc_before[r][own] *= factors[r];
                }
            }
        }
        tiles++;
        if (LONG && tiles % BLOCK_TILES == 0u) {
            sums_before = together(sums_before, sums);
            sums = Sums();
            add_before(&acc_before, &acc);
            acc = Results();
        }
    }
    sums = together(sums_before, sums);
    let total = row_sum(sums.total, lane, row);
    var weighted = 0.0;
    if (ENTROPY) {
        weighted = row_sum(sums.weighted, lane, row);
    }
    workgroupBarrier();
    if (lane % SHARERS == 0u && row < rows) {
        let at = row_at(out.b, place.kv_head * group + row % group, row / group);
        factors[row] = store_row(at, largest, total, weighted);
    }
    if (LONG) {
        add_before(&acc, &acc_before);
    }
    gather(&acc, lane);
    for (var n = lane; n < rows * HEAD_VEC; n += WG_SIZE) {
        let r = n / HEAD_VEC;
        o[query_at(out, r) + n % HEAD_VEC] = narrow4(queries[n] * factors[r]);
    }
}
