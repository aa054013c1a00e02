"""Hello PyTorch: fit y = w * x + b to four points, once by hand and once with headstart."""

import pandas as pd
import torch

import headstart as hs

X, Y = [1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0]

# By hand: guess w and b, measure how wrong the line is, and take a small step downhill. Repeat.
x, y = torch.tensor(X), torch.tensor(Y)
w = torch.zeros(1, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
print("The loss falls while w and b learn:")
for step in range(401):
    loss = (w * x + b - y).square().mean()
    loss.backward()  # fills w.grad and b.grad: which way is uphill
    if step in (0, 1, 2, 5, 10, 50, 100, 200, 400):
        print(f"  step {step:3}  loss {loss.item():9.5f}  {'#' * round(2 * loss.item())}")
    with torch.no_grad():
        for parameter in (w, b):
            parameter -= 0.1 * parameter.grad
            parameter.grad.zero_()
print(f"by hand:   w = {w.item():.3f}  b = {b.item():.3f}\n")

# With headstart: the same four points as a table. Two are learned from, one is for choosing, and
# one for the final examination; for a line, the best w and b can be computed at once.
table = pd.DataFrame({"x": X, "y": Y})
data = hs.load(table, label="y", task="regression", val_fraction=0.25, test_fraction=0.25)
run = hs.finetune(data, start="scratch/linear")
weights, b = run.coefficients()
print(f"headstart: w = {weights['x']:.3f}  b = {b:.3f}")
