"""CrossNet and SelFlow in TensorFlow 1 style, from ../shared/design/networks.md, with the published names.

`python tf_networks.py DIR` writes checkpoints of random weights with Adam's slots, inputs and what TensorFlow
computes from them. A process of its own: TensorFlow's import warns, and stays out of the tests'.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

tf = tf.compat.v1
tf.disable_v2_behavior()
WIDTH = 4
CHANNELS = (1, 2, 4, 8, 8, 8, 8, 16)
KERNELS = (7, 7, 5, 5, 5, 5, 3, 3)
UP_CHANNELS = (8, 8, 8, 8, 4, 2, 1)
UP_KERNELS = (3, 3, 5, 5, 5, 5, 7)
FLOW_SIZE = (128, 192)
MAX_MAGNITUDE = 20.0


def lrelu(x):
    return tf.maximum(x, 0.2 * x)


def variable(name, shape, deviation, mean=0.0):
    return tf.get_variable(name, shape, initializer=tf.random_normal_initializer(mean, deviation))


def conv(x, name, out, size, stride=1, kernel="w", dilation=1, gain=1.0, bias=0.1):
    count = int(x.shape[3])
    with tf.variable_scope(name):
        w = variable(kernel, [size, size, count, out], gain * np.sqrt(1.9 / (size * size * count)))
        biases = variable("biases", [out], bias)
    y = tf.nn.conv2d(x, w, [1, stride, stride, 1], "SAME", dilations=[1, dilation, dilation, 1])
    return tf.nn.bias_add(y, biases)


def up_conv(x, name, out, size):
    n, height, width, count = (int(side) for side in x.shape)
    with tf.variable_scope(name):
        w = variable("w", [size, size, out, count], np.sqrt(4 * 1.9 / (size * size * count)))
        bias = variable("biases", [out], 0.1)
    shape = [n, 2 * height, 2 * width, out]
    return tf.nn.bias_add(tf.nn.conv2d_transpose(x, w, shape, [1, 2, 2, 1], "SAME"), bias)


def layer_norm(x, name):
    with tf.variable_scope(name):
        gamma = variable("gamma", [int(x.shape[3])], 0.1, mean=1.0)
        beta = variable("beta", [int(x.shape[3])], 0.1)
    mean, variance = tf.nn.moments(x, [1, 2, 3], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)


def encoder(image, letter):
    maps = []
    for i in range(1, 9):
        x = lrelu(maps[-1]) if maps else image
        x = conv(x, f"g_{letter}{i}_conv", WIDTH * CHANNELS[i - 1], KERNELS[i - 1], stride=2)
        maps.append(layer_norm(x, f"g_bn_{letter}{i}") if i > 1 else x)
    return maps


def crossnet(frame, cue, activated_skips):
    """frame, cue: (N, 256, 256, 3) in [-1, 1]. Returns the probability (N, 256, 256)."""
    with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
        skips = [tf.concat(pair, 3) for pair in zip(encoder(frame, "e"), encoder(cue, "op"), strict=True)]
        x = conv(lrelu(skips[-1]), "fusion0", WIDTH * 16, 3, stride=2)
        for i in range(1, 8):
            out, size = WIDTH * UP_CHANNELS[i - 1], UP_KERNELS[i - 1]
            up = up_conv(lrelu(x), f"g_d{i}", out, size)
            weight = tf.sigmoid(
                layer_norm(conv(lrelu(up), f"g_attention{i}", out, size), f"g_bn_attention{i}")
            )
            skip = lrelu(skips[7 - i]) if activated_skips else skips[7 - i]
            fused = conv(skip, f"fusion{i}", out, size)
            x = tf.concat([layer_norm(up, f"g_bn_d{i}"), weight * fused], 3)
        return tf.sigmoid(up_conv(lrelu(x), "g_d8", 1, 7))[..., 0]


def features(image):
    levels = {}
    # Where two clipped corners of the warp coincide, TensorFlow leaves the rounding of its sum, which the
    # cost volume divides by its own length. Small features keep it below the epsilon of that division.
    with tf.variable_scope("feature_extractor", reuse=tf.AUTO_REUSE):
        for i, out in enumerate((16, 32, 64, 96, 128, 192), start=1):
            small = {"kernel": "weights", "bias": 1e-4}
            image = lrelu(conv(image, f"conv{i}_1", out, 3, stride=2, gain=0.01 if i == 1 else 1.0, **small))
            image = lrelu(conv(image, f"conv{i}_2", out, 3, **small))
            levels[i] = image
    return levels


def resized(flow, size):
    height, width = (int(side) for side in flow.shape[1:3])
    scale = tf.constant([size[1] / width, size[0] / height], tf.float32)
    return tf.image.resize_bilinear(flow, size, align_corners=True) * scale


def warped(image, flow):
    """Corners truncated toward zero and clipped, the weights those of the clipped corners."""
    n, height, width = (int(side) for side in flow.shape[:3])
    column, row = tf.meshgrid(tf.range(float(width)), tf.range(float(height)))
    x, y = flow[..., 0] + column, flow[..., 1] + row
    total = 0.0
    for dy in (0, 1):
        for dx in (0, 1):
            left, top = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
            x0, x1 = (tf.clip_by_value(left + d, 0, width - 1) for d in (0, 1))
            y0, y1 = (tf.clip_by_value(top + d, 0, height - 1) for d in (0, 1))
            across = x - tf.cast(x0, tf.float32) if dx else tf.cast(x1, tf.float32) - x
            down = y - tf.cast(y0, tf.float32) if dy else tf.cast(y1, tf.float32) - y
            sample = tf.tile(tf.reshape(tf.range(n), [n, 1, 1]), [1, height, width])
            corner = tf.gather_nd(image, tf.stack([sample, y1 if dy else y0, x1 if dx else x0], axis=3))
            total += (across * down)[..., None] * corner
    return total


def costs(here, there):
    n, height, width, channels = (int(side) for side in here.shape)
    here, there = tf.nn.l2_normalize(here, 3), tf.nn.l2_normalize(there, 3)
    patches = tf.image.extract_patches(there, [1, 9, 9, 1], [1, 1, 1, 1], [1, 1, 1, 1], "SAME")
    patches = tf.reshape(patches, [n, height, width, 81, channels])
    return tf.reduce_sum(patches * here[:, :, :, None, :], axis=4)


def estimator(x, level):
    with tf.variable_scope(f"estimator_level_{level}", reuse=tf.AUTO_REUSE):
        for i, out in enumerate((128, 128, 96, 64, 32), start=1):
            x = lrelu(conv(x, f"conv{i}", out, 3, kernel="weights"))
        return x, conv(x, "conv6", 2, 3, kernel="weights")


def context(x):
    with tf.variable_scope("context_network", reuse=tf.AUTO_REUSE):
        layers = zip((128, 128, 128, 96, 64, 32), (1, 2, 4, 8, 16, 1), strict=True)
        for i, (out, dilation) in enumerate(layers, start=1):
            x = lrelu(conv(x, f"dilated_conv{i}", out, 3, kernel="weights", dilation=dilation))
        return conv(x, "dilated_conv7", 2, 3, kernel="weights")


def selflow(x0, x1, x2):
    """x0, x1, x2: (N, H, W, 3) RGB. Returns the flows x1 -> x2 and x1 -> x0, (N, H, W, 2)."""
    before, here, after = features(x0), features(x1), features(x2)
    forward = backward = tf.zeros([*(int(side) for side in here[6].shape[:3]), 2])
    for level in range(6, 1, -1):
        now = here[level]
        size = [int(side) for side in now.shape[1:3]]
        forward, backward = resized(forward, size), resized(backward, size)
        cost_fw = costs(now, warped(after[level], forward))
        cost_bw = costs(now, warped(before[level], backward))
        seen_fw, new_fw = estimator(tf.concat([cost_fw, cost_bw, now, forward, -backward], 3), level)
        seen_bw, new_bw = estimator(tf.concat([cost_bw, cost_fw, now, backward, -forward], 3), level)
        forward, backward = new_fw, new_bw
    size = [int(side) for side in x1.shape[1:3]]
    refined_fw = context(tf.concat([seen_fw, seen_bw, forward, -backward], 3))
    refined_bw = context(tf.concat([seen_bw, seen_fw, backward, -forward], 3))
    return resized(refined_fw, size), resized(refined_bw, size)


def standardised(image):
    mean, variance = tf.nn.moments(image, [1, 2], keepdims=True)
    return (image - mean) / tf.sqrt(variance + 1e-12)


def saved(directory, name, outputs, counter):
    """One step of Adam, so that its slots hold something; then the checkpoint and the values of `outputs`."""
    trained = tf.trainable_variables()
    steps = tf.get_variable(counter, [], tf.int32, tf.zeros_initializer(), trainable=False)
    adam = tf.train.AdamOptimizer(1e-3, beta1=0.95)
    step = adam.apply_gradients([(0.1 * weight, weight) for weight in trained])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run([step, steps.assign_add(1)])
        tf.train.Saver().save(session, str(directory / name), write_meta_graph=False)
        if name == "selflow":  # small: for the tests of what is refused
            tf.train.Saver(write_version=tf.train.SaverDef.V1).save(
                session, str(directory / "version1"), write_meta_graph=False
            )
        return session.run(outputs)


def pictures(generator, count, size):
    """Smooth ones, (count, H, W, 3) uint8."""
    coarse = generator.random((count, size[0] // 16 + 1, size[1] // 16 + 1, 3))
    y, x = np.mgrid[: size[0], : size[1]] / 16.0
    y0, x0 = y.astype(int), x.astype(int)
    v, u = (y - y0)[..., None], (x - x0)[..., None]
    top = (1 - u) * coarse[:, y0, x0] + u * coarse[:, y0, np.minimum(x0 + 1, coarse.shape[2] - 1)]
    smooth = 20 + 200 * ((1 - v) * top + v * coarse[:, np.minimum(y0 + 1, coarse.shape[1] - 1), x0])
    return smooth.round().astype(np.uint8)


def write_crossnet(directory):
    tf.reset_default_graph()
    tf.set_random_seed(1)
    generator = np.random.default_rng(1)
    frame = pictures(generator, 1, (256, 256))  # RGB
    magnitude = generator.random((1, 256, 256, 3), np.float32) * 1.2 * MAX_MAGNITUDE
    image = tf.constant(frame, tf.float32) / 127.5 - 1.0
    cue = tf.minimum(tf.constant(magnitude) / MAX_MAGNITUDE, 1.0) * 2.0 - 1.0
    outputs = {
        "plain": crossnet(image, cue, activated_skips=False),
        "activated": crossnet(image, cue, activated_skips=True),
    }
    values = saved(directory, "crossnet", outputs, "global_step")
    np.savez(directory / "crossnet.npz", frame=frame, magnitude=magnitude, **values)


def write_selflow(directory):
    tf.reset_default_graph()
    tf.set_random_seed(2)
    x1 = pictures(np.random.default_rng(2), 1, FLOW_SIZE)
    x0, x2 = np.roll(x1, -3, axis=2), np.roll(x1, 5, axis=1)
    images = [tf.constant(image, tf.float32) / 255.0 for image in (x0, x1, x2)]
    forward, backward = selflow(*images)
    _, to_past = selflow(images[0], images[1], images[1])
    _, standard_to_past = selflow(*(standardised(images[i]) for i in (0, 1, 1)))
    outputs = {"forward": forward, "backward": backward, "to_past": to_past, "standard": standard_to_past}
    values = saved(directory, "selflow", outputs, "Variable")
    np.savez(directory / "selflow.npz", x0=x0, x1=x1, x2=x2, **values)


def write_unfit(directory):
    """Two checkpoints that are nearly CrossNet: `unfit` in four ways, `diverged` with a NaN."""
    reader = tf.train.load_checkpoint(str(directory / "crossnet"))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    unfit = {**values, "discriminator/w": np.zeros(2, np.float32)}
    del unfit["generator/fusion3/biases"]
    unfit["generator/g_bn_d1/gamma"] = np.ones(5, np.float32)
    unfit["generator/g_bn_d2/gamma"] = unfit["generator/g_bn_d2/gamma"].astype(np.float64)
    diverged = {**values, "generator/g_d8/biases": np.array([np.nan], np.float32)}
    for name, variables in (("unfit", unfit), ("diverged", diverged)):
        tf.reset_default_graph()
        tensors = [tf.constant(value) for value in variables.values()]
        slices = [""] * len(variables)
        with tf.Session() as session:
            session.run(tf.raw_ops.SaveV2(
                prefix=str(directory / name), tensor_names=list(variables), shape_and_slices=slices,
                tensors=tensors,
            ))  # fmt: skip


if __name__ == "__main__":
    write_crossnet(Path(sys.argv[1]))
    write_unfit(Path(sys.argv[1]))
    write_selflow(Path(sys.argv[1]))
