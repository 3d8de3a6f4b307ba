"""The package's networks and training step in PyTorch, to compare with. Needs torch.

The same layers, losses and optimizers as `models`, `losses` and `pix2pix`, in PyTorch's own idiom:
channels last, autocast for bfloat16, fused Adam; eager, as PyTorch is mostly used.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class UNet(nn.Module):
    """`models.unet_generator`: (batch, 1, size, size) → (batch, 2, size, size) in [-1, 1]."""

    def __init__(self, image_size, filters, input_channels=1, output_channels=2):
        super().__init__()
        depth = image_size.bit_length() - 1
        widths = [filters * min(2**level, 8) for level in range(depth)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            layers = [nn.Conv2d(input_channels, width, 4, 2, 1, bias=False)]
            if 0 < level < depth - 1:
                layers.append(nn.BatchNorm2d(width))
            self.downs.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
            input_channels = width
        for level in reversed(range(depth - 1)):
            layers = [
                nn.ConvTranspose2d(input_channels, widths[level], 4, 2, 1, bias=False),
                nn.BatchNorm2d(widths[level]),
            ]
            if level >= max(depth - 4, 3):
                layers.append(nn.Dropout(0.5))
            self.ups.append(nn.Sequential(*layers, nn.ReLU()))
            input_channels = 2 * widths[level]  # with the skip
        self.last = nn.ConvTranspose2d(input_channels, output_channels, 4, 2, 1)
        _initialise(self)

    def forward(self, x):
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = torch.cat([up(x), skips.pop()], dim=1)
        return torch.tanh(self.last(x).float())


class PatchGAN(nn.Module):
    """`models.patchgan_discriminator` of three layers: input and target → logits."""

    def __init__(self, filters, input_channels=1, target_channels=2):
        super().__init__()
        channels = input_channels + target_channels
        layers = []
        for i in range(4):
            width = filters * 2**i
            layers.append(nn.Conv2d(channels, width, 4, 2 if i < 3 else 1, 1, bias=False))
            if i > 0:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1))
        _initialise(self)

    def forward(self, inputs, target):
        return self.layers(torch.cat([inputs, target], dim=1)).float()


def prepare(pixels, batch, filters, precision):
    """Work for `worker.Stage`: training steps on synthetic pairs; a unit is one step.

    Args:
        pixels: side of the images.
        batch: images per step.
        filters: width of both networks.
        precision: "float32" or "bfloat16".
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # As TensorFlow does by itself, on GPUs that have it.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    step = TrainStep(
        UNet(pixels, filters).to(device, memory_format=torch.channels_last),
        PatchGAN(filters).to(device, memory_format=torch.channels_last),
        device,
        precision,
    )
    random = np.random.default_rng(0)
    pair = [
        torch.from_numpy(random.uniform(-1, 1, (batch, n, pixels, pixels)).astype(np.float32))
        for n in (1, 2)
    ]
    pair = [part.contiguous(memory_format=torch.channels_last) for part in pair]

    def work(units):
        for _ in range(units):
            losses = step(*(part.to(device, non_blocking=True) for part in pair))
        losses[0].item()  # waits for the device

    return work


class TrainStep:
    """`Pix2Pix.train_step`: one forward pass for both losses, gradients taken before any update."""

    def __init__(self, generator, discriminator, device, precision="float32"):
        self.generator, self.discriminator = generator.train(), discriminator.train()
        self.device, self.autocast = device.type, precision == "bfloat16"
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(
                network.parameters(), lr=2e-4, betas=(0.5, 0.999), eps=1e-7, fused=True
            )
            for network in (generator, discriminator)
        )

    def __call__(self, inputs, target):
        """(g_loss, d_loss) of a step, tensors."""
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.autocast):
            result = self.generator(inputs)
            fake_logits = self.discriminator(inputs, result)
        g_loss = functional.softplus(-fake_logits).mean() + 100.0 * (target - result).abs().mean()
        # The discriminator's weights are needed for the generator's gradient, not theirs for it.
        self.g_optimizer.zero_grad(set_to_none=True)
        self.d_optimizer.zero_grad(set_to_none=True)
        g_variables = list(self.generator.parameters())
        g_gradients = torch.autograd.grad(g_loss, g_variables, retain_graph=True)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.autocast):
            real_logits = self.discriminator(inputs, target)
        d_loss = 0.5 * (
            functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()
        )
        d_variables = list(self.discriminator.parameters())
        d_gradients = torch.autograd.grad(d_loss, d_variables)
        for variables, gradients, optimizer in (
            (g_variables, g_gradients, self.g_optimizer),
            (d_variables, d_gradients, self.d_optimizer),
        ):
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.grad = gradient
            optimizer.step()
        return g_loss.detach(), d_loss.detach()


def parameters(network):
    """Number of a network's parameters, moving averages of batch norm included, as Keras counts."""
    averages = [
        b for name, b in network.named_buffers() if not name.endswith("num_batches_tracked")
    ]
    return sum(tensor.numel() for tensor in [*network.parameters(), *averages])


def _initialise(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
