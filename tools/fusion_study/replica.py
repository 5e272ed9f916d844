"""foveal's DashFusion with masked padding in JAX, many runs at a time: sizes, names of parameters, first values, schedule and
optimiser are those of foveal's `models::dashfusion`, `Trainer` and `compare_fusions`.

What differs: the numbers that seeds stand for, and batches are shuffled without regard to length.

What a run may have beyond foveal (`ASKED`) is for diagnosis alone; 0, and foveal's model, unless a run says otherwise.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_default_prng_impl", "unsafe_rbg")
MODALITIES = ("text", "audio", "vision")
# The letters of the released fusion, which exchanges audio and vision.
SLOTS = {"text": "t", "audio": "v", "vision": "a"}
HEADS, EPS, POSITION_DROPOUT = 4, 1e-5, 0.1
# mean: the hierarchical fusion's head sees means over the rows of each stream in place of its first rows.
# clock: sinusoids of the true time are added to tokens and frames.
# share: sinusoids of the share of the clip that has passed, by letters of the text and by frames; no time of a word is known.
# oracle: the alignment's tokens attend to the frames that are theirs in truth.
# told: the mean of the text (concatenation) is over the tokens of the word that counts.
ASKED = ("mean", "clock", "share", "oracle", "told")
# Seconds that the clock's sinusoids take for a turn; a whole clip counts 4 s where shares are told.
PERIODS, WHOLE = (0.8, 10.0), 4.0
# Contrast, as in foveal's `loss`: rows of a group of a clip and its six companions, pairs that cost something, pairs counted.
GROUP, TEMPERATURE, COUNTED, KEPT = 7, 0.5, 22, 10
PAIRS = [(0, 7), (0, 14), (0, 1), (0, 2), (7, 8), (7, 9), (14, 15), (14, 16), (21, 22), (21, 23)]


def layers_of(config):
    """Name to (shape, bound of a uniform draw or a constant as a string), in foveal's order."""
    d, ffn, all = config["d_model"], config["ffn"], {}

    def linear(name, out, inner, bias=True):
        all[f"{name}.weight"] = ((out, inner), inner**-0.5)
        if bias:
            all[f"{name}.bias"] = ((out,), inner**-0.5)

    def norm(name):
        all[f"{name}.weight"], all[f"{name}.bias"] = ((d,), "1"), ((d,), "0")

    linear("text_encoder.projector.proj.0", d, config["text_width"], False)
    linear("text_encoder.projector.proj.2", d, d, False)
    norm("text_encoder.projector.layernorm")
    for m in ("audio", "vision"):
        at = f"{m}_encoder.encoder.pos_encoder"
        linear(f"{at}.proj", d, config[f"{m}_width"])
        all[f"{at}.cls_token"] = ((1, 1, d), "1")
        all[f"{at}.position_embeddings"] = ((1, config[f"{m}_frames"] + 1, d), "0")
        for i in range(config[f"{m}_layers"]):
            at = f"{m}_encoder.encoder.transformer_encoder.layers.{i}"
            all[f"{at}.self_attn.in_proj_weight"] = ((3 * d, d), (6 / (4 * d)) ** 0.5)
            all[f"{at}.self_attn.in_proj_bias"] = ((3 * d,), "0")
            all[f"{at}.self_attn.out_proj.weight"] = ((d, d), d**-0.5)
            all[f"{at}.self_attn.out_proj.bias"] = ((d,), "0")
            linear(f"{at}.linear1", ffn, d)
            linear(f"{at}.linear2", d, ffn)
            norm(f"{at}.norm1")
            norm(f"{at}.norm2")
        norm(f"{m}_encoder.layernorm")
    inner = HEADS * config["alignment_head_dim"]
    for name in ("to_q", "to_k_ta", "to_k_tv", "to_v_ta", "to_v_tv"):
        linear(f"temporal_alignment.{name}", inner, d, False)
    linear("temporal_alignment.to_out.0", d, inner)
    for level in range(len(config["bottlenecks"])):
        for part in "qtav":
            at = f"HBF.encoder_{part}.{level}.layers.0"
            for name in ("to_query", "to_key", "to_value"):
                linear(f"{at}.0.fn.{name}", d, d)
            norm(f"{at}.0.norm")
            linear(f"{at}.1.fn.net.0", ffn, d)
            linear(f"{at}.1.fn.net.3", d, ffn)
            norm(f"{at}.1.norm")
        at = f"HBF.encoder_q2tav.{level}"
        for name in ("to_q", "to_k_t", "to_k_a", "to_k_v", "to_v_t", "to_v_a", "to_v_v"):
            linear(f"{at}.{name}", d, d, False)
        linear(f"{at}.ffn.net.0", ffn, d)
        linear(f"{at}.ffn.net.3", d, ffn)
        norm(f"{at}.norm1")
        norm(f"{at}.norm2")
    heads = [("classifier", 4 * d)] + [(f"late_{m}", d) for m in MODALITIES if config["fusion"] == "late"]
    wide = config.get("head", 1) * d
    for name, width in heads:
        linear(f"{name}.MLP.0", 2 * wide, width)
        linear(f"{name}.MLP.2", wide, 2 * wide)
        linear(f"{name}.MLP.4", 1, wide)
    return all


def taking_part(config):
    """Of `layers_of`, those that the fusion's pass reads: the others never change."""
    fusion = config["fusion"]
    seen = {f"{m}_encoder" for m in MODALITIES if fusion in (m, "hierarchical", "concatenation", "late")}
    seen |= {"temporal_alignment", "HBF"} if fusion == "hierarchical" else set()
    seen |= {f"late_{m}" for m in MODALITIES} if fusion == "late" else {"classifier"}
    return {name: entry for name, entry in layers_of(config).items() if name.split(".")[0] in seen}


def first_values(config, seed):
    random, made = np.random.default_rng(seed), {}
    for name, (shape, first) in layers_of(config).items():
        constant = isinstance(first, str)
        values = np.full(shape, float(first)) if constant else random.uniform(-first, first, shape)
        made[name] = values.astype(np.float32)
    return made


def contrast(vectors):
    """The contrast's mean over groups of (groups, 28, d): a clip and its companions as text, vision, audio and aligned text."""
    unit = vectors / jnp.maximum(jnp.sqrt((vectors**2).sum(-1, keepdims=True)), 1e-12)
    raised = jnp.exp(unit @ unit.transpose(0, 2, 1) / TEMPERATURE)
    lost = 0
    for anchor, positive in PAIRS:
        own = raised[:, anchor, positive]
        lost += jnp.log1p(raised[:, anchor, anchor + 3 : anchor + GROUP].sum(-1) / own)
    return lost.mean() / COUNTED


def companions(vectors, labels):
    """Candidates (kinds, clips, 10) as foveal's `Retrieval` keeps them: of the same label and most alike, of another and least
    alike, of another and most alike."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    near, same = unit @ unit.T, np.rint(labels)[:, None] == np.rint(labels)[None]
    np.fill_diagonal(near, -9)
    itself, found = np.eye(len(near), dtype=bool), []
    for value, fit in ((near, same & ~itself), (-near, ~same), (near, ~same)):
        ranked = np.argsort(np.where(fit, -value, 9), 1)[:, :KEPT]
        # Fewer than ten: those that there are, over and over; none: the clip itself.
        count = np.clip(fit.sum(1), 0, KEPT)
        ranked = np.take_along_axis(ranked, np.arange(KEPT)[None] % np.maximum(count, 1)[:, None], 1)
        found.append(np.where(count[:, None] == 0, np.arange(len(near))[:, None], ranked))
    return np.stack(found)


def forward(config, w, clips, dropout=0.0, key=None, asked=None, anchors=None, want="scores"):
    """Scores (clips). `clips`: text, audio, vision (clips, rows, width) and their numbers of rows as `text_rows` …; for what is
    `asked` their times too. With a number of `anchors` the clips beyond are companions, and (scores, contrast) is the answer;
    `want="means"` gives the means of the three encoders side by side.
    """
    d, fusion = config["d_model"], config["fusion"]
    keys = iter(jax.random.split(key, 64)) if key is not None else None
    gelu = functools.partial(jax.nn.gelu, approximate=False)

    def drop(x, p):
        if keys is None:
            return x
        return jnp.where(jax.random.bernoulli(next(keys), 1 - p, x.shape), x / (1 - p), 0)

    def linear(x, name):
        y = x @ w[f"{name}.weight"].T
        return y + w[f"{name}.bias"] if f"{name}.bias" in w else y

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        y = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + EPS)
        return y * w[f"{name}.weight"] + w[f"{name}.bias"]

    def seen(x, rows):
        return jnp.arange(x.shape[1])[None] < rows[:, None]

    def attend(q, k, v, rows, scale_dim, among=None):
        apart = lambda x: x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)
        scores = apart(q) @ apart(k).transpose(0, 1, 3, 2) * scale_dim**-0.5
        scores = jnp.where(seen(k, rows)[:, None, None], scores, -1e30)
        if among is not None:
            scores = jnp.where(among[:, None], scores, -1e30)
        o = jax.nn.softmax(scores, -1) @ apart(v)
        return o.transpose(0, 2, 1, 3).reshape(*q.shape[:2], -1)

    def mean(x, rows):
        return jnp.where(seen(x, rows)[..., None], x, 0).sum(1) / rows[:, None]

    def clock(x, m):
        """Adds the sinusoids of the rows' times; a row whose time is below 0 has none."""
        if asked is None:
            return x
        time, share = clips[f"{m}_time"][..., None], clips[f"{m}_share"][..., None]
        amount = jnp.maximum(asked["clock"], asked["share"])
        at = jnp.where(asked["share"] > 0.5, WHOLE * share, time)
        turns = 2 * np.pi / np.geomspace(*PERIODS, d // 2)
        waves = jnp.concatenate([jnp.sin(at * turns), jnp.cos(at * turns)], -1)
        return x + amount * jnp.where(time < 0, 0, waves)

    def feed_forward(x, name):
        return linear(gelu(linear(x, f"{name}.net.0")), f"{name}.net.3")

    def text():
        x = gelu(linear(clips["text"], "text_encoder.projector.proj.0"))
        x = gelu(linear(x, "text_encoder.projector.proj.2"))
        return clock(norm(x, "text_encoder.projector.layernorm"), "text"), clips["text_rows"]

    def frames(m):
        at, x = f"{m}_encoder.encoder", clips[m]
        x = clock(linear(x, f"{at}.pos_encoder.proj"), m)
        token = jnp.broadcast_to(w[f"{at}.pos_encoder.cls_token"], (len(x), 1, d))
        x = jnp.concatenate([token, x], 1) + w[f"{at}.pos_encoder.position_embeddings"][:, : x.shape[1] + 1]
        x, rows = drop(x, POSITION_DROPOUT), clips[f"{m}_rows"] + 1
        for i in range(config[f"{m}_layers"]):
            layer = f"{at}.transformer_encoder.layers.{i}"
            packed = x @ w[f"{layer}.self_attn.in_proj_weight"].T + w[f"{layer}.self_attn.in_proj_bias"]
            o = attend(*jnp.split(packed, 3, -1), rows, d // HEADS)
            x = norm(x + drop(linear(o, f"{layer}.self_attn.out_proj"), dropout), f"{layer}.norm1")
            hidden = drop(gelu(linear(x, f"{layer}.linear1")), dropout)
            x = norm(x + drop(linear(hidden, f"{layer}.linear2"), dropout), f"{layer}.norm2")
        return norm(x, f"{m}_encoder.layernorm"), rows

    def head(z, name):
        x = gelu(linear(gelu(linear(z, f"{name}.MLP.0")), f"{name}.MLP.2"))
        return linear(x, f"{name}.MLP.4")[:, 0]

    def branches(x, other, rows, name):
        at = f"{name}.layers.0"
        q, k, v = (linear(y, f"{at}.0.fn.to_{t}") for y, t in ((x, "query"), (other, "key"), (other, "value")))
        x = x + norm(attend(q, k, v, rows, d), f"{at}.0.norm")
        return x + norm(feed_forward(x, f"{at}.1.fn"), f"{at}.1.norm")

    wanted = [m for m in MODALITIES if fusion in (m, "hierarchical", "concatenation", "late")]
    encoded = {m: text() if m == "text" else frames(m) for m in wanted}
    means = {m: mean(*encoded[m]) for m in wanted}
    if want == "means":
        return jnp.concatenate([means[m] for m in MODALITIES], -1)
    if asked is not None and fusion == "concatenation":
        x, heard = encoded["text"][0], clips["text_told"][..., None]
        means["text"] += asked["told"] * ((x * heard).sum(1) / heard.sum(1) - means["text"])
    if fusion == "late":
        return sum(head(means[m], f"late_{m}") for m in MODALITIES)
    parts = {"fused": None} | {m: means.get(m) for m in ("text", "vision", "audio")}
    if fusion == "hierarchical":
        (x, rows), dim = encoded["text"], config["alignment_head_dim"]
        q, looks = linear(x, "temporal_alignment.to_q"), 0
        for m, name in (("audio", "ta"), ("vision", "tv")):
            k, v = (linear(encoded[m][0], f"temporal_alignment.to_{t}_{name}") for t in "kv")
            among = None if asked is None else clips[f"{m}_theirs"] | (asked["oracle"] < 0.5)
            looks += attend(q, k, v, encoded[m][1], dim, among)
        query = x + linear(looks, "temporal_alignment.to_out.0")
        if anchors:
            four = [means["text"], means["vision"], means["audio"], query[:, 0]]
            cut = lambda y: jnp.concatenate([y[:anchors, None], y[anchors:].reshape(anchors, GROUP - 1, d)], 1)
            pull = contrast(jnp.concatenate([cut(y) for y in four], 1))
            query, rows = query[:anchors], rows[:anchors]
            encoded = {m: (y[:anchors], n[:anchors]) for m, (y, n) in encoded.items()}
        streams = dict(encoded)
        for level, most in enumerate(config["bottlenecks"]):
            query = branches(query, query, rows, f"HBF.encoder_q.{level}")
            query, rows = query[:, :most], jnp.minimum(rows, most)
            at, gathered = f"HBF.encoder_q2tav.{level}", query
            q = linear(query, f"{at}.to_q")
            for m, (y, n) in streams.items():
                k, v = (linear(y, f"{at}.to_{t}_{SLOTS[m]}") for t in "kv")
                gathered += attend(q, k, v, n, d // HEADS)
            query = norm(gathered, f"{at}.norm1")
            query = norm(query + feed_forward(query, f"{at}.ffn"), f"{at}.norm2")
            streams = {
                m: (branches(y, query, rows, f"HBF.encoder_{SLOTS[m]}.{level}"), n)
                for m, (y, n) in streams.items()
            }
        last = {"fused": (query, rows)} | {m: streams[m] for m in ("text", "vision", "audio")}
        parts = {m: x[:, 0] for m, (x, _) in last.items()}
        if asked is not None:
            parts = {m: x + asked["mean"] * (mean(*last[m]) - x) for m, x in parts.items()}
    zero = jnp.zeros((anchors or len(clips["label"]), d))
    found = head(jnp.concatenate([zero if p is None else p for p in parts.values()], -1), "classifier")
    return (found, pull) if anchors else found


@functools.cache
def compiled(config, batch):
    """(some steps of all runs, scores of all runs on some clips, means likewise). A run's parameters are one vector, in the
    order of `taking_part`: the optimiser's work is one loop then, and the compiler's too.
    """
    config = dict(config)
    shapes = {name: shape for name, (shape, _) in taking_part(config).items()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    decays = np.concatenate([np.full(int(np.prod(shapes[n])), float("bias" not in n), np.float32) for n in shapes])
    pull = config.get("contrast", 0)

    def named(w):
        pieces = jnp.split(w, ends[:-1])
        return {name: piece.reshape(shape) for piece, (name, shape) in zip(pieces, shapes.items())}

    def loss(w, clips, run, key):
        pass_ = functools.partial(forward, config, named(w), clips, run["dropout"], key, run.get("asked"))
        if not pull:
            return (error := ((pass_() - clips["label"]) ** 2).mean()), error
        scores, lost = pass_(anchors=batch)
        error = ((scores - clips["label"][:batch]) ** 2).mean()
        return error + pull * lost, error

    def steps(run, w, first, second, order, data, begun, total, warm):
        def step(carry, picked):
            w, first, second, number = carry
            clips = {k: v[picked] for k, v in data.items()}
            key = jax.random.fold_in(run["key"], number)
            (_, error), g = jax.value_and_grad(loss, has_aux=True)(w, clips, run, key)
            g *= jnp.minimum(1.0, 1.0 / jnp.maximum(jnp.sqrt((g**2).sum()), 1e-12))
            rate = run["rate"] * jnp.where(number < warm, number / warm, (total - number) / (total - warm))
            first, second, t = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g, number + 1.0
            move = first / (1 - 0.9**t) / (jnp.sqrt(second / (1 - 0.999**t)) + 1e-8)
            w = w * (1 - rate * run["weight_decay"] * decays) - rate * move
            return (w, first, second, t), error

        (w, first, second, _), errors = jax.lax.scan(step, (w, first, second, begun), order)
        return w, first, second, errors.mean()

    def scores(run, w, clips):
        return forward(config, named(w), clips, asked=run.get("asked"))

    def means(w, clips):
        return forward(config, named(w), clips, want="means")

    do_steps = jax.jit(jax.vmap(steps, (0, 0, 0, 0, 0, None, None, None, None)), donate_argnums=(1, 2, 3))
    return do_steps, jax.jit(jax.vmap(scores, (0, 0, None))), jax.jit(jax.vmap(means, (0, None))), named


def train(config, data, runs, epochs, batch=32, test=False, at_once=None, room=None):
    """Trains `runs`, dictionaries of seed, rate, dropout, weight_decay and what is `ASKED`, side by side. Returns for each its
    history of (train error², valid MAE), and the parameters of the epoch that was best on `valid`; then, where `test` asks for them,
    the scores that these give the clips of `test`. As many of those as of `valid` spare a compilation; so do steps taken `at_once`
    (an epoch otherwise) and `room` for as many training clips.
    """
    some = data["train"]
    clips = len(some["label"])
    steps = -(-clips // batch)
    at_once = at_once or steps
    steps = -(-steps // at_once) * at_once
    do_steps, scores, means, named = compiled(tuple(config.items()), batch)
    values = {k: jnp.array([r[k] for r in runs], jnp.float32) for k in ("rate", "dropout", "weight_decay")}
    values["key"] = jnp.stack([jax.random.key_data(jax.random.key(r["seed"])) for r in runs])
    values["key"] = jax.random.wrap_key_data(values["key"])
    if any(k in r for r in runs for k in ASKED):
        values["asked"] = {k: jnp.array([r.get(k, 0) for r in runs], jnp.float32) for k in ASKED}
    fresh = [first_values(config, r["seed"]) for r in runs]
    kept = taking_part(config)
    w = jnp.asarray(np.stack([np.concatenate([f[name].ravel() for name in kept]) for f in fresh]))
    first, second = jnp.zeros_like(w), jnp.zeros_like(w)
    random = [np.random.default_rng([r["seed"], 1]) for r in runs]
    labels = some["label"]
    room = [(0, max(0, (room or 0) - clips))]
    some = {k: jnp.asarray(np.pad(v, room + [(0, 0)] * (v.ndim - 1), "edge")) for k, v in some.items()}
    valid = {k: jnp.asarray(v) for k, v in data["valid"].items()}
    history, best = [[] for _ in runs], [None] * len(runs)
    for number in range(epochs):
        order = np.stack([np.resize(g.permutation(clips), steps * batch) for g in random])
        if config.get("contrast", 0):
            if number % 2 == 0:
                found = np.asarray(means(w, some))[:, :clips]
                kinds = [companions(v, labels) for v in found]
            drawn = [
                kind[:, o][:, np.arange(len(o))[:, None], g.integers(KEPT, size=(len(o), 2))].transpose(1, 0, 2)
                for kind, o, g in zip(kinds, order, random)
            ]
            drawn = np.stack(drawn).reshape(len(runs), -1, batch * (GROUP - 1))
            order = np.concatenate([order.reshape(len(runs), -1, batch), drawn], 2)
        order = order.reshape(len(runs), steps // at_once, at_once, -1)
        errors = 0
        for part in range(order.shape[1]):
            begun = number * steps + part * at_once
            told = (float(begun), float(steps * epochs), float(steps))
            w, first, second, lost = do_steps(values, w, first, second, order[:, part], some, *told)
            errors += np.asarray(lost) / order.shape[1]
        found = np.abs(np.asarray(scores(values, w, valid)) - data["valid"]["label"]).mean(1)
        for i, mae in enumerate(found):
            if mae < min((m for _, m in history[i]), default=np.inf):
                best[i] = np.asarray(w[i])
            history[i].append((float(errors[i]), float(mae)))
    found = None
    if test:
        last = {k: jnp.asarray(v) for k, v in data["test"].items()}
        found = np.asarray(scores(values, jnp.asarray(np.stack(best)), last))
    # What takes no part comes along as it began, since foveal's files hold it.
    weights = [f | {k: np.asarray(v) for k, v in named(jnp.asarray(b)).items()} for f, b in zip(fresh, best)]
    return history, weights, found
