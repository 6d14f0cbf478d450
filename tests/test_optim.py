"""Optimizers and schedules against PyTorch, step by step."""

import warnings

import numpy as np
import pytest
from twins import array

import rubigo as rg
from rubigo import nn, optim

torch = pytest.importorskip("torch")
schedules = optim.lr_scheduler
torch_schedules = torch.optim.lr_scheduler


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "maximize": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "alpha": 0.9}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "maximize": True}),
]


def parameters(device):
    values = [np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), np.ones(4, np.float32)]
    ours = [nn.Parameter(rg.tensor(v, device=device)) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    return ours, theirs


def loss_of(params):
    return (params[0] ** 2).sum() * 1.5 + (params[1] ** 3).sum() * 0.2 + params[0].sum()


def assert_same(ours, theirs, tol=1e-5):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(array(p), array(q), rtol=tol, atol=tol)


def walk(optimizer, params, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(params).backward()
        optimizer.step()


@pytest.mark.parametrize("name, kwargs", OPTIMIZERS)
def test_optimizer_equals_torch(name, kwargs, device):
    ours, theirs = parameters(device)
    a = getattr(optim, name)(ours, **kwargs)
    b = getattr(torch.optim, name)(theirs, **kwargs)
    for _ in range(10):
        walk(a, ours, 1)
        walk(b, theirs, 1)
        assert_same(ours, theirs)


@pytest.mark.parametrize("name, kwargs", OPTIMIZERS)
def test_resumed_run_has_the_same_bits(name, kwargs, device):
    straight, _ = parameters(device)
    walk(getattr(optim, name)(straight, **kwargs), straight, 8)
    first, _ = parameters(device)
    a = getattr(optim, name)(first, **kwargs)
    walk(a, first, 5)
    saved = a.state_dict()
    second = [nn.Parameter(p.detach().clone()) for p in first]
    b = getattr(optim, name)(second, lr=123.0)
    # Numbers become text in a file.
    b.load_state_dict({**saved, "state": {str(k): v for k, v in saved["state"].items()}})
    walk(b, second, 3)
    for p, q in zip(straight, second, strict=True):
        assert array(p).tobytes() == array(q).tobytes()
    assert b.param_groups[0]["lr"] == kwargs["lr"]


def test_state_dict_has_the_layout_of_torch():
    ours, theirs = parameters("cpu")
    for name in ("SGD", "Adam", "RMSprop"):
        extra = {} if name == "Adam" else {"momentum": 0.9}
        a = getattr(optim, name)([{"params": [p]} for p in ours], lr=0.1, **extra)
        b = getattr(torch.optim, name)([{"params": [p]} for p in theirs], lr=0.1, **extra)
        walk(a, ours, 2)
        walk(b, theirs, 2)
        mine, other = a.state_dict(), b.state_dict()
        assert mine["state"].keys() == other["state"].keys()
        assert mine["state"][0].keys() == other["state"][0].keys()
        assert [g["params"] for g in mine["param_groups"]] == [[0], [1]]
        assert set(mine["param_groups"][0]) <= set(other["param_groups"][0])


def test_late_parameter_starts_its_own_momentum():
    ours, theirs = parameters("cpu")
    a = optim.SGD(ours, lr=0.1, momentum=0.9, dampening=0.3)
    b = torch.optim.SGD(theirs, lr=0.1, momentum=0.9, dampening=0.3)
    for optimizer, params in ((a, ours), (b, theirs)):
        (params[0] ** 2).sum().backward()
        optimizer.step()
        walk(optimizer, params, 3)
    assert_same(ours, theirs)


def test_groups_closure_and_zero_grad():
    p, q = nn.Parameter(rg.ones(2)), nn.Parameter(rg.ones(2))
    optimizer = optim.SGD([{"params": [p], "lr": 0.5}], lr=0.1, weight_decay=0.0)
    optimizer.add_param_group({"params": q})
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1]

    def closure():
        optimizer.zero_grad()
        loss = (p + q).sum()
        loss.backward()
        return loss

    with rg.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.tolist() == [0.5, 0.5] and q.tolist() == pytest.approx([0.9, 0.9])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.step()
    assert p.tolist() == [0.5, 0.5]
    named = optim.SGD(nn.Linear(2, 1).named_parameters())
    assert named.param_groups[0]["param_names"] == ["weight", "bias"]
    assert "lr: 0.001" in repr(named)


@pytest.mark.parametrize("make, kind, message", [
    (lambda p: optim.SGD([]), ValueError, "empty parameter list"),
    (lambda p: optim.SGD(p), TypeError, "iterable"),
    (lambda p: optim.SGD(nn.Linear(1, 1)), TypeError, r"model.parameters\(\)"),
    (lambda p: optim.Adam([p], betas=(0.9,)), ValueError, "two numbers"),
    (lambda p: optim.SGD([p * 2]), ValueError, "non-leaf"),
    (lambda p: optim.SGD([3]), TypeError, "only optimize Tensors"),
    (lambda p: optim.SGD([{"params": {p}}]), TypeError, "ordered"),
    (lambda p: optim.SGD([{"params": p}, {"params": p}]), ValueError, "more than one"),
    (lambda p: optim.SGD([p], lr=-1.0), ValueError, "invalid lr"),
    (lambda p: optim.SGD([p], nesterov=True), ValueError, "Nesterov"),
    (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "index 1"),
    (lambda p: optim.RMSprop([p], eps=-1.0), ValueError, "invalid eps"),
])  # fmt: skip
def test_constructors_refuse(make, kind, message):
    with pytest.raises(kind, match=message):
        make(nn.Parameter(rg.zeros(2)))


def test_a_parameter_twice_is_updated_twice():
    for name in ("SGD", "Adam"):
        results = []
        for lib in (rg, torch):
            p = lib.nn.Parameter(lib.tensor([1.0, -2.0]))
            more = {"foreach": False} if lib is torch else {}
            with pytest.warns(UserWarning, match="parameter"):
                optimizer = getattr(lib.optim, name)([p, p], lr=0.1, **more)
            for _ in range(3):
                optimizer.zero_grad()
                (p**2).sum().backward()
                optimizer.step()
            results.append(p.tolist())
        assert results[0] == pytest.approx(results[1], rel=1e-5)


def own_optimizer(lib):
    class Own(lib.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        def step(self, closure=None):
            with lib.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(p.grad * group["lr"])
            return "stepped"

    return Own([lib.nn.Parameter(lib.ones(1))])


def test_step_hooks():
    for lib in (rg, torch):
        for optimizer in (own_optimizer(lib), lib.optim.SGD([lib.nn.Parameter(lib.ones(1))])):
            seen, p = [], optimizer.param_groups[0]["params"][0]
            p.grad = lib.ones(1)
            pre = optimizer.register_step_pre_hook(lambda o, a, k, seen=seen: seen.append("pre"))
            optimizer.register_step_post_hook(lambda o, a, k, seen=seen: seen.append("post"))
            result = optimizer.step()
            assert seen == ["pre", "post"] and result in ("stepped", None)
            pre.remove()
            optimizer.step()
            assert seen == ["pre", "post", "post"]

    class More(optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    p, seen = nn.Parameter(rg.ones(1)), []
    more = More([p])
    new = more.register_step_pre_hook(lambda o, args, k: ((o, lambda: seen.append("new")), k))
    more.step()
    assert seen == ["new"] and more.steps_taken == 1
    new.remove()

    def closure():
        return 5.0

    for optimizer in (more, torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])):
        given = []
        optimizer.register_step_pre_hook(lambda *hooked, given=given: given.append(hooked))
        optimizer.register_step_post_hook(lambda *hooked, given=given: given.append(hooked))
        assert optimizer.step(closure) == 5.0
        assert optimizer.step(closure=closure) == 5.0
        both = (
            (optimizer, (optimizer, closure), {}),
            (optimizer, (optimizer,), {"closure": closure}),
        )
        assert given == [both[0], both[0], both[1], both[1]]
        optimizer.register_step_pre_hook(lambda o, args, kwargs: [args, kwargs])
        with pytest.raises(RuntimeError, match="new_args, new_kwargs"):
            optimizer.step()


def test_state_left_on_another_device_is_explained(gpu):
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model.parameters())
    for place in ("cpu", gpu):
        model.to(place)
        model(rg.ones(1, 2, device=place)).sum().backward()
        if place == "cpu":
            optimizer.step()
    with pytest.raises(RuntimeError, match=r"exp_avg on cpu[^\x00]*load_state_dict"):
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()


def test_loading_the_wrong_state():
    p, q = nn.Parameter(rg.zeros(2)), nn.Parameter(rg.zeros(3))
    one, two = optim.Adam([p]), optim.Adam([p, q])
    with pytest.raises(ValueError, match="2 parameters in group 0"):
        one.load_state_dict(two.state_dict())
    (p.sum() + q.sum()).backward()
    one.step()
    with pytest.raises(ValueError, match="shape"):
        optim.Adam([q]).load_state_dict(one.state_dict())


def half(epoch):
    return 0.95**epoch


SCHEDULES = [
    ("LambdaLR", lambda s, o: s.LambdaLR(o, [half, lambda epoch: 1 / (epoch + 1)])),
    ("MultiplicativeLR", lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9)),
    ("StepLR", lambda s, o: s.StepLR(o, 7, 0.5)),
    ("MultiStepLR", lambda s, o: s.MultiStepLR(o, [3, 9, 9, 20], 0.3)),
    ("ExponentialLR", lambda s, o: s.ExponentialLR(o, 0.93)),
    ("CosineAnnealingLR", lambda s, o: s.CosineAnnealingLR(o, 10, 0.01)),
    ("CosineAnnealingLR-60", lambda s, o: s.CosineAnnealingLR(o, 60)),
    ("WarmRestarts", lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.001)),
    ("WarmRestarts-1", lambda s, o: s.CosineAnnealingWarmRestarts(o, 8)),
    ("LinearLR", lambda s, o: s.LinearLR(o, 0.2, 0.9, 12)),
    ("ConstantLR", lambda s, o: s.ConstantLR(o, 0.25, 6)),
    ("PolynomialLR", lambda s, o: s.PolynomialLR(o, 30, 2.0)),
    ("OneCycleLR", lambda s, o: s.OneCycleLR(o, [1.0, 0.3], total_steps=51)),
    ("OneCycleLR-3", lambda s, o: s.OneCycleLR(
        o, 2.0, epochs=17, steps_per_epoch=3, three_phase=True, anneal_strategy="linear")),
    ("CyclicLR", lambda s, o: s.CyclicLR(o, 0.01, 0.3, 6, 9)),
    ("CyclicLR-2", lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.3, 4, mode="triangular2")),
    ("CyclicLR-exp", lambda s, o: s.CyclicLR(o, 0.01, 0.3, 4, mode="exp_range", gamma=0.97)),
    ("CyclicLR-own", lambda s, o: s.CyclicLR(
        o, 0.01, 0.3, 4, scale_fn=lambda x: 0.9**x, scale_mode="iterations")),
    ("SequentialLR", lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 20), s.ExponentialLR(o, 0.9)],
        milestones=[5, 25])),
    ("SequentialLR-cycle", lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1), s.OneCycleLR(o, 0.5, total_steps=60)], milestones=[5])),
    ("SequentialLR-cyclic", lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1), s.CyclicLR(o, 0.01, 0.5, 4)], milestones=[5])),
    ("SequentialLR-factors", lambda s, o: s.SequentialLR(
        o, [s.ExponentialLR(o, 0.9), s.MultiplicativeLR(o, lambda epoch: 0.8)], milestones=[5])),
    ("SequentialLR-0", lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1), s.ExponentialLR(o, 0.9)], milestones=[0])),
    ("SequentialLR-0-0", lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1), s.StepLR(o, 4), s.LinearLR(o, 0.2)], milestones=[0, 0])),
    ("ChainedScheduler", lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.5, 4), s.ExponentialLR(o, 0.9), s.StepLR(o, 11)])),
]  # fmt: skip


def pair(name="SGD"):
    ours, theirs = parameters("cpu")
    result = []
    for lib, (p, q) in ((optim, ours), (torch.optim, theirs)):
        extra = {"momentum": 0.9} if name == "SGD" else {}
        groups = [{"params": [p]}, {"params": [q], "lr": 0.05}]
        result.append(getattr(lib, name)(groups, lr=0.1, **extra))
    return result


def watched(optimizer):
    groups = optimizer.param_groups
    return [[g["lr"], g.get("momentum"), *g.get("betas", ())[:1]] for g in groups]


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name, make", SCHEDULES, ids=[row[0] for row in SCHEDULES])
def test_schedule_equals_torch(name, make, kind):
    a, b = pair(kind)
    ours, theirs = make(schedules, a), make(torch_schedules, b)
    for _ in range(50):
        for mine, other in zip(watched(a), watched(b), strict=True):
            assert mine[1] == pytest.approx(other[1]) and mine[2:] == pytest.approx(other[2:])
            assert mine[0] == pytest.approx(other[0], rel=1e-9, abs=1e-12)
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-9, abs=1e-12)
        a.step()
        b.step()
        ours.step()
        theirs.step()


@pytest.mark.parametrize("name, make", SCHEDULES, ids=[row[0] for row in SCHEDULES])
def test_schedule_resumes(name, make):
    a, _ = pair()
    straight = make(schedules, a)
    for _ in range(12):
        a.step()
        straight.step()
    b, _ = pair()
    resumed = make(schedules, b)
    b.load_state_dict(a.state_dict())
    resumed.load_state_dict(straight.state_dict())
    for _ in range(20):
        a.step()
        b.step()
        straight.step()
        resumed.step()
        assert a.param_groups[0]["lr"] == b.param_groups[0]["lr"]


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name, make", SCHEDULES, ids=[row[0] for row in SCHEDULES])
def test_schedule_goes_on_from_a_state_of_torch(name, make):
    a, b = pair()
    ours, theirs = make(schedules, a), make(torch_schedules, b)
    for _ in range(12):
        b.step()
        theirs.step()
    a.step()
    ours.load_state_dict(theirs.state_dict())
    for mine, other in zip(a.param_groups, b.param_groups, strict=True):
        mine["lr"] = other["lr"]
    for _ in range(20):
        ours.step()
        theirs.step()
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-9, abs=1e-12)


RESUMED = {
    "LambdaLR": lambda s, o, e: s.LambdaLR(o, half, last_epoch=e),
    "MultiplicativeLR": lambda s, o, e: s.MultiplicativeLR(o, lambda epoch: 0.9, last_epoch=e),
    "StepLR": lambda s, o, e: s.StepLR(o, 3, 0.5, last_epoch=e),
    "MultiStepLR": lambda s, o, e: s.MultiStepLR(o, [3, 7], 0.3, last_epoch=e),
    "ExponentialLR": lambda s, o, e: s.ExponentialLR(o, 0.9, last_epoch=e),
    "CosineAnnealingLR": lambda s, o, e: s.CosineAnnealingLR(o, 10, 0.01, last_epoch=e),
    "WarmRestarts": lambda s, o, e: s.CosineAnnealingWarmRestarts(o, 5, 2, last_epoch=e),
    "LinearLR": lambda s, o, e: s.LinearLR(o, 0.2, 0.9, 12, last_epoch=e),
    "ConstantLR": lambda s, o, e: s.ConstantLR(o, 0.25, 8, last_epoch=e),
    "PolynomialLR": lambda s, o, e: s.PolynomialLR(o, 30, 2.0, last_epoch=e),
    "OneCycleLR": lambda s, o, e: s.OneCycleLR(o, 1.0, 30, cycle_momentum=False, last_epoch=e),
    "CyclicLR": lambda s, o, e: s.CyclicLR(o, 0.01, 0.3, 6, cycle_momentum=False, last_epoch=e),
}


@pytest.mark.filterwarnings("ignore:Seems like|Detected call")
@pytest.mark.parametrize("name", RESUMED)
def test_schedule_continues_after_an_epoch_as_torch(name):
    seen = []
    for lib, s in ((rg, schedules), (torch, torch_schedules)):
        p = lib.nn.Parameter(lib.zeros(1))
        first = lib.optim.SGD([p], lr=0.1)
        schedule = RESUMED[name](s, first, -1)
        for _ in range(5):
            first.step()
            schedule.step()
        second = lib.optim.SGD([p], lr=0.1)
        second.load_state_dict(first.state_dict())
        resumed = RESUMED[name](s, second, schedule.last_epoch)
        lrs = [second.param_groups[0]["lr"]]
        for _ in range(8):
            second.step()
            resumed.step()
            lrs.append(second.param_groups[0]["lr"])
        seen.append(lrs)
    assert seen[0] == pytest.approx(seen[1], rel=1e-9)


def test_warm_restarts_go_on_from_a_fraction():
    seen = []
    for lib, s in ((rg, schedules), (torch, torch_schedules)):
        optimizer = lib.optim.SGD([lib.nn.Parameter(lib.zeros(1))], lr=0.1)
        schedule = s.CosineAnnealingWarmRestarts(optimizer, 4, 2)
        lrs = []
        for epoch in (2.5, None, None, None, 9.75, None, None, None):
            schedule.step(epoch) if epoch else schedule.step()
            lrs.append((schedule.last_epoch, round(schedule.get_last_lr()[0], 9)))
        seen.append(lrs)
        for wrong in (-1, float("inf")) if lib is rg else ():
            with pytest.raises(ValueError, match="finite and not negative"):
                schedule.step(wrong)
    assert seen[0] == seen[1]


def test_callable_objects_are_saved():
    class Decay:
        rate = 0.5

        def __init__(self):
            self.calls = 0

        def __call__(self, epoch):
            self.calls += 1
            return self.rate**epoch

    for lib, s in ((rg, schedules), (torch, torch_schedules)):
        for kind in ("LambdaLR", "MultiplicativeLR"):
            optimizer = lib.optim.SGD([lib.nn.Parameter(lib.zeros(1))], lr=0.1)
            optimizer.add_param_group({"params": [lib.nn.Parameter(lib.zeros(1))]})
            schedule = getattr(s, kind)(optimizer, [Decay(), half])
            state = schedule.state_dict()
            assert state["lr_lambdas"][1] is None and list(state["lr_lambdas"][0]) == ["calls"]
            state["lr_lambdas"][0]["calls"] = 77
            schedule.load_state_dict(state)
            assert schedule.lr_lambdas[0].calls == 77 and "lr_lambdas" in state


def test_an_optimizer_of_ones_own_is_seen_to_step():
    optimizer = own_optimizer(rg)
    schedule = schedules.ExponentialLR(optimizer, 0.9)
    optimizer.param_groups[0]["params"][0].grad = rg.ones(1)
    optimizer.step()
    schedule.step()  # a warning would fail


def test_composed_schedules_refuse_a_plateau():
    for lib, s in ((rg, schedules), (torch, torch_schedules)):
        optimizer = lib.optim.SGD([lib.nn.Parameter(lib.zeros(1))], lr=0.1)
        parts = [s.ExponentialLR(optimizer, 0.9), s.ReduceLROnPlateau(optimizer)]
        for make in (lambda s=s, o=optimizer, p=parts: s.SequentialLR(o, p, [3]),
                     lambda s=s, p=parts: s.ChainedScheduler(p)):  # fmt: skip
            with pytest.raises(ValueError, match=r"does not support .*ReduceLROnPlateau"):
                make()


@pytest.mark.parametrize("kwargs", [
    {}, {"mode": "max", "patience": 2}, {"threshold_mode": "abs", "threshold": 0.3, "patience": 1},
    {"cooldown": 3, "patience": 1, "factor": 0.5}, {"min_lr": [0.02, 0.001], "patience": 0},
])  # fmt: skip
def test_plateau_equals_torch(kwargs):
    a, b = pair()
    ours = schedules.ReduceLROnPlateau(a, **kwargs)
    theirs = torch_schedules.ReduceLROnPlateau(b, **kwargs)
    for value in np.random.default_rng(0).normal(size=50).cumsum() * 0.3:
        ours.step(value)
        theirs.step(value)
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr())


def test_schedules_warn_and_refuse():
    optimizer = optim.SGD([nn.Parameter(rg.zeros(1))])
    schedule = schedules.ExponentialLR(optimizer, 0.9)
    with pytest.warns(UserWarning, match=r"before optimizer.step\(\)"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()
    with pytest.raises(ValueError, match="total_steps"):
        schedules.OneCycleLR(optimizer, 1.0)
    with pytest.raises(ValueError, match="one per group"):
        schedules.LambdaLR(optimizer, [half, half])
    with pytest.raises(KeyError, match="initial_lr"):
        schedules.StepLR(optim.SGD([nn.Parameter(rg.zeros(1))]), 3, last_epoch=4)
    with pytest.raises(ValueError, match="fewer than schedules"):
        schedules.SequentialLR(optimizer, [schedule], [3])
    with pytest.raises(TypeError, match="Optimizer"):
        schedules.StepLR("sgd", 3)
    optimizer.step()
    short = schedules.OneCycleLR(optimizer, 1.0, total_steps=2)
    short.step()
    short.step()
    with pytest.raises(ValueError, match="2 steps"):
        short.step()
