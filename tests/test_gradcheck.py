"""`gradcheck` and `gradgradcheck`: what they find, with PyTorch's options."""

import warnings

import pytest

import rubigo as rg

torch = pytest.importorskip("torch")
LIBS = [rg, torch]


def square(lib, rule):
    """x^2 with a backward of one's own."""

    class Square(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return rule(ctx.saved_tensors[0], g)

    return Square.apply


def point(lib):
    return lib.tensor([0.5, 2.0], dtype=lib.float64, requires_grad=True)


@pytest.mark.parametrize("lib", LIBS)
def test_options_that_change_nothing_here(lib):
    f = square(lib, lambda x, g: 2 * x * g)
    more = {"fast_mode": True, "check_grad_dtypes": True, "masked": False}
    for check in (lib.autograd.gradcheck, lib.autograd.gradgradcheck):
        assert check(f, (point(lib),), nondet_tol=1e-9, **more)
    vectors = lib.tensor([1.0, 3.0], dtype=lib.float64, requires_grad=True)
    assert lib.autograd.gradgradcheck(f, point(lib), vectors)
    assert lib.autograd.gradgradcheck(f, point(lib), gen_non_contig_grad_outputs=True)


def wandering(x, g):
    wandering.calls += 1
    return 2 * x * g * (1 + 1e-7 * wandering.calls)


wandering.calls = 0
WRONG = {
    "off": (lambda x, g: x * g, {}),
    "wanders": (wandering, {"nondet_tol": 1e-12}),
    "not linear": (lambda x, g: 2 * x * g + 1e-7, {}),
}


@pytest.mark.parametrize("lib", LIBS)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found(lib, name):
    rule, options = WRONG[name]
    f = square(lib, rule)
    with pytest.raises(RuntimeError):
        lib.autograd.gradcheck(f, point(lib), **options)
    assert not lib.autograd.gradcheck(f, point(lib), raise_exception=False, **options)


@pytest.mark.parametrize("lib", LIBS)
def test_tolerances(lib):
    f = square(lib, wandering)
    assert lib.autograd.gradcheck(f, point(lib), nondet_tol=1.0, check_undefined_grad=False)
    with pytest.raises(RuntimeError):
        lib.autograd.gradcheck(lib.exp, point(lib), eps=0.1)
    assert lib.autograd.gradcheck(lib.exp, point(lib), eps=0.1, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("lib", LIBS)
def test_single_precision_warns(lib):
    x = lib.tensor([0.5, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="likely fail"):
        assert lib.autograd.gradcheck(lib.exp, x, eps=1e-2, atol=1e-2, rtol=1e-2)
    with pytest.raises(ValueError, match="input"):
        lib.autograd.gradcheck(lib.exp, x.detach())


def test_what_is_not_there_says_so():
    f = rg.exp
    for name in ("check_batched_grad", "check_batched_forward_grad", "check_forward_ad"):
        with pytest.raises(NotImplementedError, match=name):
            rg.autograd.gradcheck(f, point(rg), **{name: True})
    with pytest.raises(NotImplementedError, match="check_fwd_over_rev"):
        rg.autograd.gradgradcheck(f, point(rg), check_fwd_over_rev=True)
    with pytest.raises(ValueError, match="check_backward_ad=False"):
        rg.autograd.gradcheck(f, point(rg), check_backward_ad=False)


def test_on_the_gpu(gpu):
    x = rg.tensor([0.5, 2.0], device=gpu, requires_grad=True)
    with pytest.warns(UserWarning, match="float64"):
        assert rg.autograd.gradcheck(rg.sin, x, eps=1e-2, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("lib", LIBS)
def test_older_names_of_arguments(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(FutureWarning, match="only_inputs"):
        (g,) = lib.autograd.grad((x * x).sum(), x, None, None, False, False)
    assert g.tolist() == [2.0, 4.0]
    with pytest.warns(FutureWarning, match="grad_tensors"):
        lib.autograd.backward(x * 2, grad_variables=lib.ones(2))
    assert x.grad.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="grad_variables"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lib.autograd.backward(x * 2, lib.ones(2), grad_variables=lib.ones(2))


@pytest.mark.parametrize("lib", LIBS)
def test_what_has_no_gradient_must_not_change(lib):
    check = lib.autograd.gradcheck
    for change in (lambda x: x.detach() * 2, lambda x: (x.detach().long(), x.detach() * 2)):
        with pytest.raises(RuntimeError):
            check(change, point(lib))
        assert not check(change, point(lib), raise_exception=False)
    for constant in (lambda x: x.detach().sign(), lambda x: x.long(), lambda x: x.detach() * 0):
        assert check(constant, point(lib))
    # Beside an output that has one, as in PyTorch, the others are left alone.
    assert check(lambda x: (x * 2, x.detach() * 2), point(lib))
    cut = square(lib, lambda x, g: (2 * x * g).detach())
    with pytest.raises(RuntimeError):
        lib.autograd.gradgradcheck(cut, point(lib))
