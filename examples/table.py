"""Tables: predict how diabetes goes on from ten numbers of a patient, and compare with trees."""

from sklearn.datasets import load_diabetes

import headstart as hs

# 442 real patients, which come with scikit-learn. Your own table: the path of a CSV file.
patients = load_diabetes(as_frame=True, scaled=False).frame
run = hs.finetune(hs.load(patients, label="target"), start="scratch/mlp")

print(run.report())
print("How far the illness of the first patient had gone after a year (25 is best, 346 worst):")
[prediction] = run.predict(patients.drop(columns="target").head(1))
print(f"  predicted {prediction.value:.0f}, measured {patients['target'][0]:.0f}")
