"""Train a 9-layer VGG by dyadic relaxation with its weights on simulated crossbars, and say what it cost.

    python examples/crossbar_vgg9.py                                         # embedded digits, a few minutes at most
    python examples/crossbar_vgg9.py --data cifar10 --path cifar-10-binary.tar.gz --epochs 8
    python examples/crossbar_vgg9.py --hardware ecram --eta 0.9              # other cells, a slower clock

It shows first that the gradients are the exact ones, on ideal arithmetic, then how far the devices push them, then trains,
then prints joules and seconds on that hardware.  A report with figures is left in --out.
"""

import argparse
import sys
import time
from pathlib import Path

import dbpsim as dbp
from dbpsim.cost.settling_times import settling_times

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--data", default="digits", help="digits, cifar10, or the path of an image set")
arguments.add_argument("--path", help="archive or folder of a named set")
arguments.add_argument("--method", choices=("relax", "bp"), default="relax")
arguments.add_argument("--hardware", default="ecram", help="ideal, pcm, ecram or another preset, a TOML file, or none")
arguments.add_argument("--eta", type=float, default=1.0, help="rate of a clock")
arguments.add_argument("--epochs", type=int, default=6)
arguments.add_argument("--batch", type=int, default=64)
arguments.add_argument("--width", type=int, help="channels of the first convolution (default: 64, on the digits 16)")
arguments.add_argument("--rate", type=float, default=0.02)
arguments.add_argument("--limit", type=int, help="use so many images of each split")
arguments.add_argument("--seed", type=int, default=0)
arguments.add_argument("--out", default="out/crossbar_vgg9")
args = arguments.parse_args()


def main() -> None:
    """Show, train, cost, report."""
    start = time.monotonic()
    train_set, test_set = dbp.datasets.load(args.data, args.path, limit=args.limit, seed=args.seed)
    width = args.width or (16 if args.data == "digits" else 64)
    net = dbp.models.vgg9(width=width, seed=args.seed)
    print(f"Data: {train_set.label}, {len(train_set)} training and {len(test_set)} test images.")
    print(f"Network: {net}.\n")

    x, y = train_set.batch(args.batch)
    exact = dbp.backprop(net, x, y)
    run = dbp.relax(net, x, y)
    found = dbp.fidelity(run.gradients, exact.gradients)
    print(f"Relaxation with ideal arithmetic, {run.steps} clocks of rate 1, against exact backpropagation:")
    print(found, "\n")

    chip = net
    if args.hardware != "none":
        chip = dbp.Chip.program(net, args.hardware, seed=args.seed)
        noisy = dbp.relax(chip, x, y, eta=args.eta)
        print(f"The same with the weights on crossbars ({chip.hardware.name}), eta {args.eta:g}, {noisy.steps} clocks:")
        print(dbp.fidelity(noisy.gradients, exact.gradients), "\n")

    print(f"Training by {args.method}, {args.epochs} epochs:", flush=True)
    flip = "none" if args.data in ("digits", "mnist") else "alternating"
    augment = dbp.Augmentation(flip, shift=2)
    programmed = chip.activity
    settings = {"method": args.method, "epochs": args.epochs, "batch": args.batch, "rate": args.rate, "warm_up": 0.2}
    result = dbp.train(chip, train_set, test_set, eta=args.eta, seed=args.seed, augment=augment, **settings)
    print(f"{result}\n")

    schedule = "wavefront" if args.eta == 1 else "synchronous"
    if chip is not net:
        whole = dbp.cost(chip, chip.activity - programmed, eta=min(args.eta, 1.0), schedule=schedule)
        print(f"What all of it cost on this hardware, tests included (schedule: {schedule}):\n{whole}")
        net.assign(chip.parameters)  # the digital twin takes over what was learned
    exact = dbp.backprop(net, x, y)
    trained = dbp.relax(chip, x, y, eta=args.eta, schedule=schedule, record=schedule == "synchronous")
    command = "python examples/crossbar_vgg9.py " + " ".join(sys.argv[1:])
    # beside a GPU and classical analog training, with the time that each sample of the batch takes to settle
    beside = {} if chip is net else {"compare": ("digital-gpu", "analog-bp"), "settling": settling_times(chip, x, y, eta=0.5)}
    page = dbp.report(
        chip, trained, args.out, exact=exact, training=result, dataset_label=train_set.label, command=command, **beside
    )
    print(f"\nReport: {Path(page).resolve()}  ({time.monotonic() - start:.0f} s in all)")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, dbp.NotSettledError) as error:
        sys.exit(f"crossbar_vgg9: {error}")
