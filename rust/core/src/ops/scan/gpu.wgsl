// A line is cut into chunks of about the square root of its length: each is folded by a thread, then
// the chunks of a line by one thread, then each chunk again from what stands before it.
// Parameters: threads, lines, length, inner, chunk, offset of the input, whether from the end.
// b0 the input, b1 the chunks, b2 the result.
// @shared:
fn place(line: u32, i: u32) -> u32 {
    let n = param(2u);
    var k = i;
    if (param(6u) != 0u) { k = n - 1u - i; }
    let inner = param(3u);
    return line / inner * n * inner + line % inner + k * inner;
}
fn load(line: u32, i: u32) -> State { return State(b0[param(5u) + place(line, i)], i); }
// @totals:
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    let line = t % param(1u);
    let first = t / param(1u) * param(4u);
    let last = min_u(first + param(4u), param(2u));
    var s = load(line, first);
    for (var i = first + 1u; i < last; i++) { s = combine(s, load(line, i)); }
    put_total(t, s);
}
// @carry:
fn run(t: u32) {
    let lines = param(1u);
    if (t >= lines) { return; }
    let chunks = param(0u) / lines;
    var s = total(t);
    for (var c = 1u; c < chunks; c++) {
        let own = total(c * lines + t);
        put_total(c * lines + t, s);
        s = combine(s, own);
    }
}
// @finish:
fn run(t: u32) {
    if (t >= param(0u)) { return; }
    let line = t % param(1u);
    let chunk = t / param(1u);
    var i = chunk * param(4u);
    let last = min_u(i + param(4u), param(2u));
    var s = load(line, i);
    if (chunk > 0u) { s = combine(total(t), s); }
    put(place(line, i), s);
    for (i += 1u; i < last; i++) {
        s = combine(s, load(line, i));
        put(place(line, i), s);
    }
}
