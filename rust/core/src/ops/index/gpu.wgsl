// @rows: b0 the indices (int64), b1 the offsets or row numbers, b2 the last bad position + 1.
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    var at = 0u;
    if ((param(4u) & 1u) != 0u) {
        let rank = param(5u);
        var left = t;
        for (var d = rank; d > 0u; d--) {
            let size = param(5u + d);
            at += (left % size) * param(5u + rank + d);
            left /= size;
        }
    } else {
        at = b1[t];
    }
    let low = b0[2u * (param(1u) + t)];
    let high = b0[2u * (param(1u) + t) + 1u];
    let size = param(3u);
    var v = low;
    var good = high == 0u && low < size;
    if (high == 0xffffffffu && (param(4u) & 2u) != 0u) {
        let back = 0u - low;
        good = back != 0u && back <= size;
        v = size - back;
    }
    if (!good) {
        atomicMax(&b2[0], t + 1u);
        v = 0u;
    }
    b1[t] = at + v * param(2u);
}
// @source: where element e of the result comes from; b1 the offsets of the picks.
fn walk(first: u32, rank: u32, position: u32) -> u32 {
    var left = position;
    var at = 0u;
    for (var d = rank; d > 0u; d--) {
        let size = param(first + d - 1u);
        at += (left % size) * param(first + rank + d - 1u);
        left /= size;
    }
    return at;
}
fn source(e: u32) -> u32 {
    let q = param(3u);
    let row = e / q;
    let pre = param(4u);
    let at = param(1u) + b1[row % param(2u)] + walk(6u, pre, row / param(2u));
    return at + walk(6u + 2u * pre, param(5u), e % q);
}
// @winner: b0 the row numbers, b1 the last pick + 1 of each row.
fn run(t: u32) {
    if (t < param(0u)) { atomicMax(&b1[b0[t]], t + 1u); }
}
// @bounds: b0 the sorted row numbers, b1 and b2 where each row's run starts and ends.
fn run(t: u32) {
    let n = param(0u);
    if (t >= n) { return; }
    let row = b0[t];
    if (t == 0u || b0[t - 1u] != row) { b1[row] = t; }
    if (t + 1u == n || b0[t + 1u] != row) { b2[row] = t + 1u; }
}
// @fold: b0 the base, b1 the values, b2 the order, b3 and b4 the runs, b5 the result; one piece of each run.
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    let k = param(1u);
    let row = t / k;
    let column = t % k;
    let first = b3[row] + param(2u);
    let end = b4[row];
    var acc = b0[param(4u) + t];
    if (param(2u) != 0u) { acc = b5[t]; }
    if (first < end) {
        let last = min_u(end, first + param(3u));
        for (var j = first; j < last; j++) {
            acc = combine(acc, b1[param(5u) + b2[j] * k + column]);
        }
    }
    b5[t] = acc;
}
// @compact: b0 the mask (i32), b1 the running count, b2 the positions (int64).
fn run(t: u32) {
    if (t < param(0u) && b0[t] != 0u) {
        let at = 2u * (b1[t] - 1u);
        b2[at] = t;
        b2[at + 1u] = 0u;
    }
}
