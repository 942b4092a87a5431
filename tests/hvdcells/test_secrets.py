from hvdcells.secrets import without_secrets


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
