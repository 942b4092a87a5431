import pytest

from hvdcells.secrets import has_secrets, without_secrets


def test_passwords_signatures_and_values_of_secret_variables_become_stars():
    text = (
        "at http://me:hunter22@host/x and https://b/k?X-Amz-Signature=0123abcd&X-Amz-Expires=60&versionId=7 "
        "with wJalrXUtnFEMI, not testing"
    )
    shown = without_secrets(
        text, {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "MY_TOKEN": "testing", "PLAIN": "versionId"}
    )
    assert shown == (
        "at http://***@host/x and https://b/k?X-Amz-Signature=***&X-Amz-Expires=60&versionId=7 with ***, not testing"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "--conf spark.hadoop.fs.s3a.secret.key=abc --workers 2",
            "--conf spark.hadoop.fs.s3a.secret.key=*** --workers 2",
        ),
        ("--conf 'spark.ssl.keyStorePassword=abc' x", "--conf 'spark.ssl.keyStorePassword=***' x"),
        ("https://ghp_token@host/x", "https://***@host/x"),
        ("https://h/x?key=abc&page=2", "https://h/x?key=***&page=2"),
        ("https://h/x#access_token=abc&state=1", "https://h/x#access_token=***&state=1"),
        ("https://h/x?sv=1;sig=abc", "https://h/x?sv=1;sig=***"),
        (
            "https://h/x?x-goog-credential=a&subscription-key=b",
            "https://h/x?x-goog-credential=***&subscription-key=***",
        ),
        ("fs.s3a.access.key: AKIA123", "fs.s3a.access.key: ***"),
        ("--set optimizer.name=adam --set model.weights=s3://b/key=1/run", None),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://***@account.dfs.core.windows.net/x"),
        ("there is no token: give one", None),
        ("spark.executor.memory=4g split=train/part-0.parquet", None),
        ("https://h/x?versionId=7&partNumber=2&keyboard=1", None),
    ],
)
def test_settings_fragments_and_tokens_alone(text, expected):
    assert without_secrets(text, {}) == (text if expected is None else expected)
    assert without_secrets(without_secrets(text, {}), {}) == without_secrets(text, {})


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("http://TOKEN@host/x", True),
        ("https://h/x?key=1", True),
        ("https://h/x#access_token=1", True),
        ("abfs://container@account/x", False),
        ("s3://bucket/split=train/x", False),
        ("sftp://user@host/x", False),
        ("https://h/x?versionId=1", False),
    ],
)
def test_addresses_that_hold_a_secret_are_known(address, secret):
    assert has_secrets(address) is secret
