// @identity: b0 = 0, 1, 2, ..
fn run(t: u32) {
    if (t < param(0u)) { b0[t] = t; }
}
// @row_key: b0 the order, b1 the row of each element.
fn run(t: u32) {
    if (t < param(0u)) { b1[t] = b0[t] / param(1u); }
}
// @key: b0 the elements, b1 the order, b2 the keys.
fn run(t: u32) {
    if (t < param(0u)) { b2[t] = key(param(1u) + b1[t]) ^ param(2u); }
}
// @digits: the parts that counting and moving share. A group has 1024 elements, a thread 16 in a row.
var<workgroup> counts: array<u32, 1024>;
fn digit(word: u32) -> u32 { return (word >> param(1u)) & 15u; }
fn count_own(group: u32, lane: u32) {
    for (var d = 0u; d < 16u; d++) { counts[d * 64u + lane] = 0u; }
    let first = group * 1024u + lane * 16u;
    for (var i = first; i < min_u(first + 16u, param(0u)); i++) {
        counts[digit(b0[i]) * 64u + lane] += 1u;
    }
}
// @count: b0 the keys, b1 how many of each digit each group has.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) wgs: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = linear_group(wg, wgs);
    count_own(group, lane);
    workgroupBarrier();
    if (lane < 16u && group < param(2u)) {
        var sum = 0u;
        for (var i = 0u; i < 64u; i++) { sum += counts[lane * 64u + i]; }
        b1[lane * param(2u) + group] = sum;
    }
}
// @starts: b0 the counts, which become the sums of those before; one group.
var<workgroup> sums: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    let n = param(0u);
    let each = (n + 255u) / 256u;
    let first = min_u(lane * each, n);
    let last = min_u(first + each, n);
    var sum = 0u;
    for (var i = first; i < last; i++) { sum += b0[i]; }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var total = 0u;
        for (var i = 0u; i < 256u; i++) {
            let own = sums[i];
            sums[i] = total;
            total += own;
        }
    }
    workgroupBarrier();
    sum = sums[lane];
    for (var i = first; i < last; i++) {
        let own = b0[i];
        b0[i] = sum;
        sum += own;
    }
}
// @move: b0 the keys, b1 the starts, b2 the order, b3 and b4 keys and order moved.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) wgs: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = linear_group(wg, wgs);
    count_own(group, lane);
    workgroupBarrier();
    if (lane < 16u && group < param(2u)) {
        var at = b1[lane * param(2u) + group];
        for (var i = 0u; i < 64u; i++) {
            let own = counts[lane * 64u + i];
            counts[lane * 64u + i] = at;
            at += own;
        }
    }
    workgroupBarrier();
    let first = group * 1024u + lane * 16u;
    for (var i = first; i < min_u(first + 16u, param(0u)); i++) {
        let d = digit(b0[i]) * 64u + lane;
        let at = counts[d];
        counts[d] = at + 1u;
        b3[at] = b0[i];
        b4[at] = b2[i];
    }
}
// @choose: b0 the order, b1 the elements chosen, b2 their indices (int64): places param(3).. of each row.
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    let kept = param(1u);
    let n = param(2u);
    let at = b0[t / kept * n + param(3u) + t % kept];
    b1[t] = at;
    b2[2u * t] = at % n;
    b2[2u * t + 1u] = 0u;
}
// @median: as choose with one place, but the first NaN (b3 the elements) where a row ends with one.
fn nan_at(i: u32) -> bool { return (b3[param(4u) + b0[i]] & 0x7fffffffu) > 0x7f800000u; }
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    let n = param(2u);
    let row = t * n;
    var at = param(3u);
    if (nan_at(row + n - 1u)) {
        var lo = 0u;
        var hi = n - 1u;
        while (lo < hi) {
            let mid = (lo + hi) / 2u;
            if (nan_at(row + mid)) { hi = mid; } else { lo = mid + 1u; }
        }
        at = lo;
    }
    b1[t] = b0[row + at];
    b2[2u * t] = b0[row + at] % n;
    b2[2u * t + 1u] = 0u;
}
// @search: b0 the sequences, b1 the values, b2 the places (int64).
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    let n = param(1u);
    let first = param(3u) + t / param(2u) * n;
    let v = b1[param(4u) + t];
    var lo = 0u;
    var hi = n;
    while (lo < hi) {
        let mid = lo + (hi - lo) / 2u;
        let at = b0[first + mid];
        if (stop(at, v, param(5u) != 0u)) { hi = mid; } else { lo = mid + 1u; }
    }
    b2[2u * t] = lo;
    b2[2u * t + 1u] = 0u;
}
