package clients

import (
	"io"
	"net/http"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// The S3 of the acceptance tests is in the same environment; here is shown that it runs at all.
func TestMotoServesS3(t *testing.T) {
	url := acctest.Moto(t)
	res, err := http.Get(url + "/moto-api/data.json")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %v %s", res.StatusCode, err, body)
	}
}
